-- lock_pruning: takes the pruning lock for the rest of the session; returns false when another
-- session holds it
SELECT pg_try_advisory_lock(1668641652, 'processed_events'::regclass::oid::integer)
