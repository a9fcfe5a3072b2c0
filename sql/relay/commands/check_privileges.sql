-- check_privileges: the privileges that the role lacks, in the order in which they are printed
-- $1: the outbox's oid; $2: the audit table's oid, NULL if it does not exist; $3: whether DELETE is
-- needed on the outbox; $4: whether it is on the audit table
SELECT ARRAY(
           SELECT privilege
           FROM (
               VALUES (1, 'SELECT', has_table_privilege($1::oid, 'SELECT')),
                      (2, 'UPDATE (published_at)', has_column_privilege($1::oid, 'published_at', 'UPDATE')),
                      (3, 'UPDATE (attempts)', has_column_privilege($1::oid, 'attempts', 'UPDATE')),
                      (4, 'UPDATE (next_attempt_at)', has_column_privilege($1::oid, 'next_attempt_at', 'UPDATE')),
                      (5, 'UPDATE (last_error)', has_column_privilege($1::oid, 'last_error', 'UPDATE')),
                      (6, 'UPDATE (error_kind)', has_column_privilege($1::oid, 'error_kind', 'UPDATE')),
                      (7, 'UPDATE (error_fingerprint)', has_column_privilege($1::oid, 'error_fingerprint', 'UPDATE')),
                      (8, 'DELETE', NOT $3::boolean OR has_table_privilege($1::oid, 'DELETE'))
           ) AS needed (ordinal, privilege, granted)
           WHERE NOT granted
           ORDER BY ordinal
       ) AS on_outbox,
       ARRAY(
           SELECT privilege
           FROM (VALUES (1, 'SELECT', true), (2, 'INSERT', true), (3, 'DELETE', $4::boolean)) AS needed (ordinal, privilege, is_needed)
           WHERE is_needed AND NOT has_table_privilege($2::oid, privilege)
           ORDER BY ordinal
       ) AS on_audit
