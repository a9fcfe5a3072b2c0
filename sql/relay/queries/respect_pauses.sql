-- respect_pauses: tells commands, by a lock, that this relay reads the table of pauses
SELECT pg_try_advisory_lock_shared(1869968384 + 69, '{outbox}'::regclass::oid::integer)
