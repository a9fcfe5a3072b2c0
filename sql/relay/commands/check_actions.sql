-- check_actions: the constraints on the audit table's column action, by name and definition
-- $1: the audit table's oid
SELECT conname::text AS name, pg_get_constraintdef(pg_constraint.oid) AS definition
FROM pg_constraint
JOIN pg_attribute ON attrelid = conrelid AND attname = 'action'
WHERE conrelid = $1::oid AND contype = 'c' AND conkey = ARRAY[attnum]
ORDER BY name
