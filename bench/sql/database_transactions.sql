-- database_transactions: transactions of this database so far; some may be a second old when they show up
SELECT xact_commit + xact_rollback AS transactions
FROM pg_stat_database
WHERE datname = current_database()
