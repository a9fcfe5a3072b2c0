-- leave_relays: tells the other relays that this one is not at work any more
SELECT pg_advisory_unlock_shared(1869968384 + 64, '{outbox}'::regclass::oid::integer)
