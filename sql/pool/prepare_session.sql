-- prepare_session: limits of a session of a service's pool, whatever is set for the database or the role. default_transaction_read_only
-- alone stays as it is: providers switch it on when a disk fills up. Not sent where a pooler lends sessions to others.
-- $1: how long a statement may take before the server ends it by itself, with a unit
-- Versions of PostgreSQL differ in these settings, and an unknown one would be an error.
SELECT count(set_config(name, wanted.value, false))
FROM (
    VALUES ('statement_timeout', $1::text),
           ('idle_in_transaction_session_timeout', $1),
           ('lock_timeout', '0'),
           ('idle_session_timeout', '0'),
           ('transaction_timeout', '0'),
           ('default_transaction_isolation', 'read committed'),
           ('default_transaction_deferrable', 'off'),
           ('jit', 'off')
) AS wanted (name, value)
JOIN pg_settings USING (name)
