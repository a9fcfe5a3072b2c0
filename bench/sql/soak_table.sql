-- soak_table: the sessions with a database, and the dead rows and the size of one of its tables
-- $1: the table; $2: backend pids of the benchmark's own sessions
SELECT (SELECT count(*)
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> ALL ($2)) AS sessions,
       n_dead_tup AS dead_rows,
       pg_total_relation_size(relid) AS bytes
FROM pg_stat_user_tables
WHERE relname = $1
