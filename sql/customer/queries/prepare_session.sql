-- prepare_session: limits and plans of the session that counts, whatever is set for the database or the role. default_transaction_read_only
-- alone stays as it is: providers switch it on when a disk fills up.
-- $1: how long a statement may take; $2: how long it may wait for a lock; both with a unit
-- Plans are made once, and don't follow statistics that a burst of events has just made wrong: keys are looked up in their indexes. Compiling
-- a statement would take longer than it runs. Versions of PostgreSQL differ in these settings, and an unknown one would be an error.
SELECT count(set_config(name, wanted.value, false))
FROM (
    VALUES ('statement_timeout', $1::text),
           ('idle_in_transaction_session_timeout', $1),
           ('lock_timeout', $2::text),
           ('idle_session_timeout', '0'),
           ('transaction_timeout', '0'),
           ('default_transaction_isolation', 'read committed'),
           ('default_transaction_deferrable', 'off'),
           ('plan_cache_mode', 'force_generic_plan'),
           ('enable_seqscan', 'off'),
           ('jit', 'off')
) AS wanted (name, value)
JOIN pg_settings USING (name)
