-- watch_lanes: the relays at work, and the lanes that each owns as bits
SELECT pid,
       pid = pg_backend_pid() AS own,
       coalesce(bit_or(1::bigint << slot) FILTER (WHERE slot < 64), 0) AS lanes,
       bool_or(slot = 64) AS at_work
FROM (
    SELECT pid, (classid::bigint - 1869968384)::integer AS slot
    FROM pg_locks
    WHERE locktype = 'advisory'
      AND objsubid = 2
      AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint BETWEEN 1869968384 AND 1869968448
      AND objid = '{outbox}'::regclass
) AS lock
GROUP BY pid
