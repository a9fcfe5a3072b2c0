-- measure: how many dead letters of a queue are open or being returned, each counted up to 10,000,
-- and how many seconds ago the oldest one was collected
-- $1: the dead-letter queue
SELECT (
           SELECT count(*)
           FROM (
               (SELECT FROM dead_letters WHERE queue = $1::text AND state = 'open' LIMIT 10000)
               UNION ALL
               -- Dead letters that an interrupted command left returning need a person, too.
               (SELECT FROM dead_letters WHERE queue = $1::text AND state = 'returning' LIMIT 10000)
           ) AS unsettled
       ) AS open,
       (
           SELECT extract(epoch FROM now() - min(first.collected_at))::double precision
           FROM (
               (
                   -- A range from the queue on: with an equality the planner may walk all open rows
                   -- by id.
                   SELECT queue, collected_at
                   FROM dead_letters
                   WHERE state = 'open' AND queue >= $1::text
                   ORDER BY queue, id
                   LIMIT 1
               )
               UNION ALL
               (SELECT queue, collected_at FROM dead_letters WHERE queue = $1::text AND state = 'returning' ORDER BY id LIMIT 1)
           ) AS first
           WHERE first.queue = $1::text
       ) AS oldest_age
