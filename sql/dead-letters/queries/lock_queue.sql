-- lock_queue: takes the lock of a queue's name until the database session ends; returns false if
-- another collector has it, which is then one of another broker or virtual host
-- $1: the dead-letter queue
SELECT pg_try_advisory_lock(hashtextextended(('dead_letters'::regclass::oid)::text || ' ' || $1::text, 0))
