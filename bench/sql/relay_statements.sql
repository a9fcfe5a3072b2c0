-- relay_statements: the number and cost of the relay's statements, by its role
SELECT coalesce(sum(calls), 0)::bigint AS calls,
       coalesce(sum(total_exec_time), 0)::double precision AS milliseconds,
       coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint AS blocks
FROM pg_stat_statements
WHERE userid = 'bench_relay'::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
