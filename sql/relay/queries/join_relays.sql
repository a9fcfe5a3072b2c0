-- join_relays: tells the other relays that this one is at work, until its session ends
SELECT pg_try_advisory_lock_shared(1869968384 + 64, '{outbox}'::regclass::oid::integer)
