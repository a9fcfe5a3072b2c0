-- check_columns: the columns of a table with their types and defaults
-- $1: the table's oid
WITH RECURSIVE base AS (
    SELECT attnum, type.oid, type.typtype, type.typbasetype
    FROM pg_attribute
    JOIN pg_type AS type ON type.oid = atttypid
    WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    -- The base type of a domain, which the server sends instead of it.
    SELECT base.attnum, type.oid, type.typtype, type.typbasetype
    FROM base
    JOIN pg_type AS type ON type.oid = base.typbasetype
    WHERE base.typtype = 'd'
)
SELECT attname::text AS name,
       format_type(base.oid, NULL) AS base_type,
       format_type(atttypid, atttypmod) AS declared_type,
       pg_get_expr(adbin, adrelid) AS default_value
FROM pg_attribute
JOIN base USING (attnum)
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum AND attgenerated = ''
WHERE attrelid = $1::oid AND base.typtype <> 'd'
ORDER BY attnum
