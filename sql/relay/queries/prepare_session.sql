-- prepare_session: limits and plans of the relay's sessions
-- A statement that waits for somebody's row lock, and a relay whose host vanished or that reads no more, are given up by the server.
SET statement_timeout = '10s';
SET tcp_keepalives_idle = 5;
SET tcp_keepalives_interval = 3;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '12s';
-- The locks of a relay that was killed come free at once, also while one of its statements waits for somebody's row lock.
-- A server whose system can't tell refuses the setting: there they come free at the statement's limit.
DO $$
BEGIN
    PERFORM set_config('client_connection_check_interval', '500ms', false);
EXCEPTION
    WHEN invalid_parameter_value THEN NULL;
END
$$;
-- The queue is read through its indexes, whatever the statistics say that a burst has just made wrong; planned once.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET plan_cache_mode = force_generic_plan;
SET jit = off;
