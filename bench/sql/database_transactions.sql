-- database_transactions: the number of transactions of this database, reported with a delay of up
-- to a second
SELECT xact_commit + xact_rollback AS transactions
FROM pg_stat_database
WHERE datname = current_database()
