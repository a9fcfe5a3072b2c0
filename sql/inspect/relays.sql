-- relays: which relay is at work, and which stand by   (order database)
SELECT activity.pid,
       activity.application_name,
       activity.client_addr,
       CASE WHEN bool_or(lock.granted) THEN 'publishing' ELSE 'standing by' END AS role,
       date_trunc('seconds', now() - activity.backend_start) AS connected_for
FROM pg_stat_activity AS activity
LEFT JOIN pg_locks AS lock ON lock.pid = activity.pid AND lock.locktype = 'advisory'
WHERE activity.datname = current_database() AND activity.application_name LIKE 'outbox-relay%'
GROUP BY activity.pid, activity.application_name, activity.client_addr, activity.backend_start
ORDER BY role, activity.pid;
