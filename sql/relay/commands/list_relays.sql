-- list_relays: the active relays with their lanes, by the locks that they hold; also relays whose
-- application_name says why they can't work, but those that respect the pauses of another table
SELECT json_build_object(
           'pid', pid,
           'name', name,
           'address', address,
           'connected_at', connected_at,
           'lanes', coalesce(lanes, '{}')
       )::text
FROM (
    SELECT lock.pid,
           activity.application_name AS name,
           host(activity.client_addr) AS address,
           activity.backend_start AS connected_at,
           array_agg(lock.classid::bigint - 1869968384 ORDER BY lock.classid::bigint)
               FILTER (WHERE lock.classid::bigint < 1869968448) AS lanes
    FROM pg_locks AS lock
    LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
    WHERE lock.locktype = 'advisory'
      AND lock.objsubid = 2
      AND lock.granted
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND lock.classid::bigint BETWEEN 1869968384 AND 1869968448
      AND lock.objid = '{outbox}'::regclass
    GROUP BY lock.pid, activity.application_name, activity.client_addr, activity.backend_start
    UNION
    SELECT pid, application_name, host(client_addr), backend_start, NULL
    FROM pg_stat_activity AS idle
    WHERE idle.datname = current_database()
      AND idle.application_name LIKE 'outbox-relay: %'
      AND NOT EXISTS (
          SELECT FROM pg_locks AS own
          WHERE own.pid = idle.pid
            AND own.locktype = 'advisory'
            AND own.objsubid = 2
            AND (
                own.classid::bigint BETWEEN 1869968384 AND 1869968448
                OR own.classid::bigint = 1869968384 + 69 AND own.objid <> '{outbox}'::regclass
            )
      )
) AS relay
ORDER BY pid
