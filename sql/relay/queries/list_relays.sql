-- list_relays: the relays at work, the lanes that each owns as bits, and what this session may do
-- now
SELECT pid,
       pid = pg_backend_pid() AS own,
       coalesce(bit_or(1::bigint << slot) FILTER (WHERE slot < 64), 0) AS lanes,
       bool_or(slot = 64) AS at_work,
       pg_is_in_recovery() AS is_standby,
       current_setting('transaction_read_only')::boolean AS is_read_only,
       row_security_active('{outbox}'::regclass) AS has_policies
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
