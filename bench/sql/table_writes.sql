-- table_writes: the number of row versions written to the outbox, and of dead rows
SELECT n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_hot_upd AS updated_hot, n_tup_del AS deleted, n_dead_tup AS dead
FROM pg_stat_user_tables
WHERE relname = 'outbox'
