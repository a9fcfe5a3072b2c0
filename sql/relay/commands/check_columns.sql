-- check_columns: the columns of a table with their types
-- $1: the table's oid
SELECT attname::text, format_type(atttypid, NULL)
FROM pg_attribute
WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
