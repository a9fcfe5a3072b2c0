-- prepare_session: limits and plans of the relay's sessions, whatever is set for the database or
-- the role
-- default_transaction_read_only alone stays as it is: providers switch it on when a disk fills up.
-- A statement that waits for somebody's row lock, and a relay whose host vanished or that reads no
-- more, are given up by the server.
SET statement_timeout = '10s';
SET lock_timeout = 0;
SET idle_session_timeout = 0;
SET idle_in_transaction_session_timeout = '10s';
SET tcp_keepalives_idle = 5;
SET tcp_keepalives_interval = 3;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '12s';
-- The locks of a relay that was killed come free at once, also while one of its statements waits
-- for somebody's row lock. A server whose system can't tell refuses the setting: there they come
-- free at the statement's limit.
DO $$
BEGIN
    PERFORM set_config('client_connection_check_interval', '500ms', false);
EXCEPTION
    WHEN invalid_parameter_value THEN NULL;
END
$$;
-- Each statement sees what was committed before it, and no statement fails because of another one.
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
-- "off" makes each statement fail where there are policies; whether they hide rows is asked
-- separately.
SET row_security = on;
-- Names of types are compared as PostgreSQL writes them.
SET quote_all_identifiers = off;
-- Plans are those that the tests see. The server is asked what it knows: versions differ in these
-- settings, and an unknown one is an error. PostgreSQL 17 has transaction_timeout.
SELECT count(set_config(name, boot_val, false))
FROM pg_settings
WHERE context = 'user'
  AND (
      left(name, 7) = 'enable_'
      OR name IN (
          'transaction_timeout',
          'seq_page_cost', 'random_page_cost', 'cpu_tuple_cost', 'cpu_index_tuple_cost', 'cpu_operator_cost',
          'effective_cache_size', 'work_mem', 'hash_mem_multiplier',
          'from_collapse_limit', 'join_collapse_limit', 'geqo', 'constraint_exclusion', 'cursor_tuple_fraction',
          'force_parallel_mode', 'debug_parallel_query'
      )
  );
-- The queue is read through its indexes, whatever the statistics say that a burst has just made
-- wrong; planned once.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET max_parallel_workers_per_gather = 0;
SET plan_cache_mode = force_generic_plan;
SET jit = off;
