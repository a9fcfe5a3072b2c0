-- check_taken_names: those of some names that a relation in the outbox's schema has
-- $1: the outbox's oid; $2: the names
SELECT relname::text
FROM pg_class
WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = $1::oid) AND relname = ANY ($2::text[])
