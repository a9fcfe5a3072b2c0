-- find_lock_holders: which sessions have a table of the desk locked
SELECT lock.pid,
       activity.application_name,
       lock.relation::regclass::text AS table
FROM pg_locks AS lock
LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE lock.granted
  AND lock.pid IS DISTINCT FROM pg_backend_pid()
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND lock.relation IN ('dead_letters'::regclass, 'dead_letters_audit'::regclass)
  AND lock.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY lock.pid
