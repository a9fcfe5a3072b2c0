-- find_key_type: the type of an inbox's key, as it stands in SQL, and whether an event_id as text can
-- be cast to it
-- $1: the table and $2: the column, as they stand in SQL
SELECT format_type(atttypid, atttypmod), atttypid IN ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
FROM pg_attribute
WHERE attrelid = to_regclass($1::text)
  AND format('"%s"', replace(attname, '"', '""')) = $2::text
  AND NOT attisdropped
