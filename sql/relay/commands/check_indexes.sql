-- check_indexes: the indexes of the outbox and its audit table
-- $1: the outbox's oid; $2: the audit table's oid
SELECT index.indrelid <> $1::oid AS of_audit,
       index.indexrelid::regclass::text AS name,
       pg_get_indexdef(index.indexrelid) AS definition,
       index.indisunique AND index.indpred IS NULL AS is_unique,
       index.indisvalid AND index.indisready AS is_valid
FROM pg_index AS index
WHERE index.indrelid IN ($1::oid, $2::oid)
