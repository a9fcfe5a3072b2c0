-- count_settled: how many dead letters of a queue were returned and discarded in a period, and its
-- end, which is ten seconds ago: rows are settled at the time at which their transaction began, and
-- seen when it has ended
-- $1: the dead-letter queue; $2: the end of the period before, or NULL at the first time
WITH period AS (
    SELECT coalesce(before.until, latest.until) AS since, greatest(before.until, latest.until) AS until
    FROM (SELECT $2::text::timestamptz AS until) AS before
    CROSS JOIN (SELECT now() - interval '10 seconds' AS until) AS latest
)
SELECT period.until::text AS until,
       (
           SELECT count(*)
           FROM dead_letters
           WHERE queue = $1::text
             AND state IN ('returned', 'discarded')
             AND state = 'returned'
             AND settled_at > period.since
             AND settled_at <= period.until
       ) AS returned,
       (
           SELECT count(*)
           FROM dead_letters
           WHERE queue = $1::text
             AND state IN ('returned', 'discarded')
             AND state = 'discarded'
             AND settled_at > period.since
             AND settled_at <= period.until
       ) AS discarded
FROM period
