-- watch_acknowledgements: the relays at work, whether each has confirmed an audit row, and the audit rows of events that it had sent before
-- $1: the audit row's id; $2: pids of relays that were at work before
SELECT lock.pid,
       activity.application_name AS name,
       lock.has_said,
       lock.confirmed,
       lock.in_flight
FROM (
    SELECT pid,
           bool_or(number = 64 AND objid = '{outbox}'::regclass) AS at_work,
           bool_or(number = 67) AS has_said,
           -- The later of two ids whose lower 31 bits are known is less than half the circle ahead.
           coalesce(bool_or(((objid::bigint - $1::bigint) & 2147483647) < 1073741824) FILTER (WHERE number = 67), false) AS confirmed,
           coalesce(array_agg(objid::bigint) FILTER (WHERE number = 68), '{}') AS in_flight
    FROM (
        SELECT pid, objid, classid::bigint - 1869968384 AS number
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND objsubid = 2
          AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS numbered
    WHERE number IN (64, 67, 68)
    GROUP BY pid
) AS lock
LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE lock.at_work OR lock.pid = ANY ($2::integer[])
ORDER BY lock.pid
