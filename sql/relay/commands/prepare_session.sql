-- prepare_session: limits of a command's session, and times in UTC
-- $1: milliseconds that a statement may take; $2: whether the command only looks
SELECT set_config('statement_timeout', $1::text, false),
       set_config('lock_timeout', '10s', false),
       set_config('TimeZone', 'UTC', false),
       set_config('default_transaction_read_only', $2::boolean::text, false),
       -- The filters that were not given fall away when a statement is planned with its values.
       set_config('plan_cache_mode', 'force_custom_plan', false),
       session_user::text AS role
