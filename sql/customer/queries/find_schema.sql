-- find_schema: whether the tables exist
SELECT bool_and(to_regclass(name) IS NOT NULL)
FROM (VALUES ('customers'), ('processed_events')) AS needed (name)
