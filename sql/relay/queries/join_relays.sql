-- join_relays: tells the other relays that this one is at work, until its session ends
-- The server ends a session of which it hears nothing for 12 s, and with it the relay's locks. A
-- relay at work asks twice a second.
SELECT set_config('idle_session_timeout', '12s', false),
       pg_try_advisory_lock_shared(1869968384 + 64, '{outbox}'::regclass::oid::integer)
