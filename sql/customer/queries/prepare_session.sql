-- prepare_session: sets timeouts and planner settings of the counting session, whatever the
-- database or the role sets. default_transaction_read_only stays as it is: some providers switch it
-- on when a disk fills up.
-- $1: statement_timeout; $2: lock_timeout; both with a unit
-- Generic plans that look keys up in their indexes don't depend on statistics, which a burst of
-- events makes wrong. JIT compilation would take longer than the statement. The join with
-- pg_settings leaves out settings that this version of PostgreSQL does not have.
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
