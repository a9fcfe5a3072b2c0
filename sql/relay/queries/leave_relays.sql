-- leave_relays: tells the other relays that this one is not at work any more; its session may be
-- silent from now on
SELECT set_config('idle_session_timeout', '0', false),
       pg_advisory_unlock_shared(1869968384 + 64, '{outbox}'::regclass::oid::integer)
