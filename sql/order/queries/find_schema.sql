-- find_schema: whether the tables exist
SELECT bool_and(to_regclass(name) IS NOT NULL)
FROM (VALUES ('orders'), ('idempotency_keys'), ('outbox')) AS needed (name)
