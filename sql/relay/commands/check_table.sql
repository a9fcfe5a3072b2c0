-- check_table: the outbox and its audit table in the catalogue, even if the role may not use their
-- schema
-- $1: the schema, NULL for the first one on the search path that has it; $2: the outbox's name; $3:
-- the audit table's name
SELECT outbox.oid,
       audit.oid AS audit_oid,
       schema.nspname::text AS schema,
       has_schema_privilege(schema.oid, 'USAGE') AS schema_usage,
       outbox.relkind IN ('r', 'p') AS is_table,
       EXISTS (SELECT FROM pg_index WHERE indrelid = outbox.oid AND indisprimary) AS has_primary_key
FROM pg_class AS outbox
JOIN pg_namespace AS schema ON schema.oid = outbox.relnamespace
LEFT JOIN pg_class AS audit
    ON audit.relnamespace = outbox.relnamespace AND audit.relname = $3::text AND audit.relkind IN ('r', 'p')
WHERE outbox.relname = $2::text
  AND outbox.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND CASE
          WHEN $1::text IS NULL THEN outbox.oid = to_regclass(quote_ident($2))
          ELSE schema.nspname = $1
      END
