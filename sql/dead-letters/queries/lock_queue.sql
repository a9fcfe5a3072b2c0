-- lock_queue: keeps other collectors of a queue with this name from these tables until the session
-- with the database ends; returns false if there is one, of another broker or virtual host then
-- $1: the dead-letter queue
SELECT pg_try_advisory_lock(hashtextextended(('dead_letters'::regclass::oid)::text || ' ' || $1::text, 0))
