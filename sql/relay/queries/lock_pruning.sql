-- lock_pruning: whether this session is the one that prunes, until it ends
SELECT pg_try_advisory_lock(1869968384 + 65, '{outbox}'::regclass::oid::integer)
