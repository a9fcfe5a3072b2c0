-- prepare_transaction: limits of a command's transaction, and times in UTC; behind a pooler the next transaction is somebody else's
-- $1: milliseconds that a statement may take
SELECT set_config('statement_timeout', $1::text, true),
       set_config('lock_timeout', '5s', true),
       set_config('TimeZone', 'UTC', true),
       -- The filters that were not given fall away when a statement is planned with its values.
       set_config('plan_cache_mode', 'force_custom_plan', true)
