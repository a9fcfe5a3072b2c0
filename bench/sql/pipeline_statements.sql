-- pipeline_statements: the number of statements of the pipeline's processes in all databases,
-- without those of the benchmark
SELECT coalesce(sum(calls), 0)::bigint AS calls
FROM pg_stat_statements JOIN pg_database AS of ON of.oid = dbid
WHERE datname <> 'postgres'
  AND query NOT LIKE '-- check_%'
  AND query NOT LIKE '-- counts_%'
  AND query NOT LIKE 'SELECT sum(orders_count)%'
  AND query NOT LIKE '%pg_current_wal_lsn%'
