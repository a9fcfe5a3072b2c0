-- check_unsettled: whether the table of unsettled events exists, and which privileges the role
-- lacks on it
SELECT to_regclass('{unsettled}') IS NOT NULL AS table_exists,
       ARRAY(
           SELECT privilege
           FROM (
               VALUES (1, 'SELECT', has_table_privilege(to_regclass('{unsettled}'), 'SELECT')),
                      (2, 'INSERT', has_table_privilege(to_regclass('{unsettled}'), 'INSERT')),
                      (3, 'UPDATE (outcome, kind, reason)', has_any_column_privilege(to_regclass('{unsettled}'), 'UPDATE')),
                      (4, 'DELETE', has_table_privilege(to_regclass('{unsettled}'), 'DELETE'))
           ) AS needed (ordinal, privilege, granted)
           WHERE NOT granted
           ORDER BY ordinal
       ) AS missing
