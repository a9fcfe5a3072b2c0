-- measure: how many dead letters of a queue are open or being returned, each counted up to 100,000,
-- and how many seconds ago the oldest one was collected
-- $1: the dead-letter queue
SELECT (
           SELECT count(*)
           FROM (
               (SELECT FROM dead_letters WHERE queue = $1::text AND state = 'open' LIMIT 100000)
               UNION ALL
               -- What a command was returning when it ended too early is nobody's either.
               (SELECT FROM dead_letters WHERE queue = $1::text AND state = 'returning' LIMIT 100000)
           ) AS unsettled
       ) AS open,
       (
           SELECT extract(epoch FROM now() - min(collected_at))::double precision
           FROM (
               (SELECT collected_at FROM dead_letters WHERE queue = $1::text AND state = 'open' ORDER BY id LIMIT 1)
               UNION ALL
               (SELECT collected_at FROM dead_letters WHERE queue = $1::text AND state = 'returning' ORDER BY id LIMIT 1)
           ) AS unsettled
       ) AS oldest_age
