-- find_columns: whether the outbox and its audit table have the columns that an older schema lacks
SELECT (
           SELECT count(*) = 2
           FROM pg_attribute
           WHERE attrelid = '{outbox}'::regclass
             AND attname IN ('error_kind', 'error_fingerprint')
             AND NOT attisdropped
             AND has_column_privilege(attrelid, attnum, 'SELECT')
       ) AS has_causes,
       EXISTS (
           SELECT
           FROM pg_attribute
           WHERE attrelid = to_regclass('{audit}') AND attname = 'operation_id' AND NOT attisdropped
       ) AS has_operations
