-- find_lock_holders: which sessions have rows of events locked; a row shows its lock as the id of a
-- transaction or of a group of them
-- $1: event_ids; $2: whether to look into groups, which fails if the id is of a transaction that
-- has ended
WITH locked AS MATERIALIZED (
    SELECT event_id, xmax AS locker
    FROM {outbox}
    WHERE event_id = ANY ($1::uuid[]) AND xmax <> '0'::xid
),
writing AS MATERIALIZED (
    SELECT transactionid AS xid, pid
    FROM pg_locks
    WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted
)
SELECT DISTINCT locker.event_id, writing.pid, activity.application_name
FROM (
    SELECT event_id, locker AS xid FROM locked
    UNION ALL
    SELECT event_id, member.xid
    FROM locked
    CROSS JOIN LATERAL pg_get_multixact_members(
        CASE
            WHEN $2::boolean AND mxid_age(locker) > 0 AND NOT EXISTS (SELECT FROM writing WHERE xid = locker) THEN locker
        END
    ) AS member
) AS locker
JOIN writing ON writing.xid = locker.xid
LEFT JOIN pg_stat_activity AS activity ON activity.pid = writing.pid
ORDER BY locker.event_id, writing.pid
