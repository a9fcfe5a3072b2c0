-- lock_pruning: whether this session is the one that prunes, until it ends
SELECT pg_try_advisory_lock(1668641652, 'processed_events'::regclass::oid::integer)
