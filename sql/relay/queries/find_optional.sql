-- find_optional: what an outbox that an older schema made lacks, or what this role may not use: the
-- table for events that can't be settled, and the columns for the causes of failures
SELECT coalesce(
           has_table_privilege(to_regclass('{unsettled}'), 'SELECT')
           AND has_table_privilege(to_regclass('{unsettled}'), 'INSERT')
           AND has_table_privilege(to_regclass('{unsettled}'), 'DELETE')
           AND has_any_column_privilege(to_regclass('{unsettled}'), 'UPDATE'),
           false
       ) AS has_unsettled,
       (
           SELECT count(*) = 2
           FROM pg_attribute
           WHERE attrelid = '{outbox}'::regclass
             AND attname IN ('error_kind', 'error_fingerprint')
             AND NOT attisdropped
             AND atttypid = 'text'::regtype
             AND has_column_privilege(attrelid, attnum, 'UPDATE')
       ) AS has_causes,
       current_setting('server_encoding') AS encoding
