-- latest_audit_id: the latest row of the audit table, and whether a command asks what this outbox's
-- relays have sent
-- A command that asks holds lock 70 shared, so that it can't be had. To try costs the same however
-- many locks others hold; pg_locks is read only if it fails.
SELECT (SELECT max(id) FROM {audit}) AS audited,
       NOT pg_try_advisory_xact_lock(1869968384 + 70, '{outbox}'::regclass::oid::integer) AS is_asked
