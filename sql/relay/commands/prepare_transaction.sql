-- prepare_transaction: limits and plans of a command's transaction, whatever is set for the database or the role; times in UTC
-- For this transaction alone: behind a pooler the next one is somebody else's.
-- $1: milliseconds that a statement may take
SELECT set_config('statement_timeout', $1::text, true),
       set_config('lock_timeout', '5s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       set_config('TimeZone', 'UTC', true),
       set_config('DateStyle', 'ISO', true),
       set_config('quote_all_identifiers', 'off', true),
       -- "off" makes each statement fail where there are policies; whether they hide rows is asked separately.
       set_config('row_security', 'on', true),
       -- The filters that were not given fall away when a statement is planned with its values.
       set_config('plan_cache_mode', 'force_custom_plan', true),
       -- The server is asked what it knows: versions differ in these settings, and an unknown one is an error.
       (
           SELECT count(set_config(name, boot_val, true))
           FROM pg_settings
           WHERE context = 'user' AND (left(name, 7) = 'enable_' OR name IN ('transaction_timeout', 'random_page_cost'))
       )
