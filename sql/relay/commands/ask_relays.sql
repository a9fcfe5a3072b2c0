-- ask_relays: asks until the end of the transaction how far relays have sent an event, and returns
-- the answers so far: the pid of each relay that has answered, and what
-- To be repeated in one transaction: a relay that looks whether anybody asks refuses lock 70 for
-- that moment.
-- $1: the event's id; $2: the relays' pids
WITH question AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock_shared(1869968384 + 71, ($1::bigint & 2147483647)::integer),
           pg_try_advisory_xact_lock_shared(1869968384 + 70, '{outbox}'::regclass::oid::integer)
),
lock AS MATERIALIZED (
    SELECT pid, locktype, virtualtransaction, classid, objid, objsubid
    FROM pg_locks
    WHERE pid = ANY ($2::integer[] || pg_backend_pid()) AND granted
),
own AS MATERIALIZED (
    SELECT hashtext(virtualtransaction)::bigint & 4294967295 AS asker
    FROM lock
    WHERE pid = pg_backend_pid()
    LIMIT 1
)
SELECT lock.pid, min(lock.classid::bigint - 1869968384)::integer AS answer
FROM question
CROSS JOIN own
JOIN lock ON lock.objid::bigint = own.asker
WHERE lock.pid = ANY ($2::integer[])
  AND lock.locktype = 'advisory'
  AND lock.objsubid = 2
  AND lock.classid::bigint BETWEEN 1869968384 + 72 AND 1869968384 + 74
GROUP BY lock.pid
