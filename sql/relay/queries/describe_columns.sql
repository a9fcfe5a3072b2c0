-- describe_columns: the outbox's columns with their types; the base is the type under a domain, and
-- under one over that
WITH RECURSIVE kinds AS (
    SELECT attname, atttypid AS kind, atttypid AS base
    FROM pg_attribute
    WHERE attrelid = '{outbox}'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT kinds.attname, kinds.kind, domain.typbasetype
    FROM kinds
    JOIN pg_type AS domain ON domain.oid = kinds.base AND domain.typtype = 'd'
)
SELECT kinds.attname::text AS name,
       format_type(kinds.kind, NULL) AS kind,
       -- A type of an extension without its schema, wherever that is.
       CASE WHEN type.typname = 'citext' THEN 'citext' ELSE format_type(kinds.base, NULL) END AS base
FROM kinds
JOIN pg_type AS type ON type.oid = kinds.base AND type.typtype <> 'd'
