-- acknowledge_audit: confirms to commands, by a lock, that this relay holds nothing of any event
-- from before an audit row
-- $1: the audit row's id; $2: the one that this session confirmed before
SELECT pg_try_advisory_lock_shared(1869968384 + 67, ($1::bigint & 2147483647)::integer),
       -- Only now, so that at any moment one of the two is held; the release is a NULL when there
       -- is none.
       pg_advisory_unlock_shared(1869968384 + 67, ($2::bigint & 2147483647)::integer)
