-- measure: how many dead letters of a queue are open, counted up to 100,000, and how many seconds
-- ago the oldest one was collected
-- $1: the dead-letter queue
SELECT (
           SELECT count(*)
           FROM (SELECT FROM dead_letters WHERE queue = $1::text AND state = 'open' LIMIT 100000) AS open
       ) AS open,
       (
           SELECT extract(epoch FROM now() - collected_at)::double precision
           FROM dead_letters
           WHERE queue = $1::text AND state = 'open'
           ORDER BY id
           LIMIT 1
       ) AS oldest_age
