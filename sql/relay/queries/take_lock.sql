-- take_lock: tries to become the relay that publishes; the server gives the lock back when the session ends
-- $1: which of the relay's locks on this table
SELECT pg_try_advisory_lock($1, 'outbox'::regclass::oid::integer)
