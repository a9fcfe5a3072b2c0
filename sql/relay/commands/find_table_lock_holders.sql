-- find_table_lock_holders: which sessions keep commands from changing events: by a lock on a table,
-- or by the lock of lock_audit
SELECT lock.pid,
       activity.application_name,
       CASE lock.relation WHEN '{outbox}'::regclass THEN '{outbox}' WHEN '{audit}'::regclass THEN '{audit}' END AS table
FROM pg_locks AS lock
LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE lock.granted
  AND lock.pid IS DISTINCT FROM pg_backend_pid()
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (
      lock.relation IN ('{outbox}'::regclass, '{audit}'::regclass)
      AND lock.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      OR lock.locktype = 'advisory'
      AND lock.objsubid = 2
      AND lock.classid::bigint = 1869968384 + 66
      AND lock.objid = '{outbox}'::regclass
  )
ORDER BY lock.pid
