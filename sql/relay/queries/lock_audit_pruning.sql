-- lock_audit_pruning: whether this session is the one that prunes the audit table, until it ends
SELECT pg_try_advisory_lock(1869968384 + 65, '{audit}'::regclass::oid::integer)
