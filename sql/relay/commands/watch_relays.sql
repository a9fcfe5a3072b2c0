-- watch_relays: the active relays: whether each has seen an audit row, the audit rows of events that
-- it had sent before, and whether it respects pauses
-- $1: the audit row's id; $2: pids of relays that were active before
SELECT lock.pid,
       activity.application_name AS name,
       lock.reports,
       lock.has_seen,
       lock.in_flight,
       lock.respects_pauses
FROM (
    SELECT pid,
           bool_or(number = 64 AND objid = '{outbox}'::regclass) AS active,
           bool_or(number = 67) AS reports,
           bool_or(number = 69 AND objid = '{outbox}'::regclass) AS respects_pauses,
           -- Ids are compared modulo 2^31: the later one is less than half of that ahead.
           coalesce(bool_or(((objid::bigint - $1::bigint) & 2147483647) < 1073741824) FILTER (WHERE number = 67), false) AS has_seen,
           coalesce(array_agg(objid::bigint) FILTER (WHERE number = 68), '{}') AS in_flight
    FROM (
        SELECT pid, objid, classid::bigint - 1869968384 AS number
        FROM pg_locks
        WHERE locktype = 'advisory'
          AND objsubid = 2
          AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS numbered
    WHERE number IN (64, 67, 68, 69)
    GROUP BY pid
) AS lock
LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE lock.active OR lock.pid = ANY ($2::integer[])
ORDER BY lock.pid
