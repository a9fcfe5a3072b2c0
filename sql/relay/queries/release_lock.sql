-- release_lock: lets another relay publish
-- $1: which of the relay's locks on this table
SELECT pg_advisory_unlock($1, 'outbox'::regclass::oid::integer)
