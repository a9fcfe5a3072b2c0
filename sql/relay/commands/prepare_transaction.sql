-- prepare_transaction: sets limits, planner settings and formats of one transaction, whatever the
-- database or the role has
-- Only for this transaction: behind a pooler the next one belongs to another client.
-- $1: milliseconds that a statement may take
-- $2: the role to take, as SET LOCAL ROLE does; NULL for the role of the session
SELECT set_config('statement_timeout', $1::text, true),
       set_config('role', coalesce($2::text, current_setting('role')), true),
       set_config('lock_timeout', '5s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       set_config('TimeZone', 'UTC', true),
       set_config('DateStyle', 'ISO', true),
       set_config('quote_all_identifiers', 'off', true),
       -- The server checks what it sends as UTF-8, so that an event with other bytes could not be
       -- shown. `session/decode.rs` reads them.
       set_config(
           'client_encoding',
           CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE current_setting('client_encoding') END,
           true
       ),
       -- "off" would make each statement fail that policies restrict; find_hidden_rows checks for
       -- them.
       set_config('row_security', 'on', true),
       -- Planned with its values, a statement loses the filters that are NULL.
       set_config('plan_cache_mode', 'force_custom_plan', true),
       -- Compiling a statement took twice as long as running it, where a million events had failed.
       set_config('jit', 'off', true),
       -- Only settings that this version has: an unknown one is an error.
       (
           SELECT count(set_config(name, boot_val, true))
           FROM pg_settings
           WHERE context = 'user' AND (left(name, 7) = 'enable_' OR name IN ('transaction_timeout', 'random_page_cost'))
       )
