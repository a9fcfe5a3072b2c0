-- check_unsettled: whether there is a table for events that can't be settled, and what the role lacks on it
SELECT to_regclass('{unsettled}') IS NOT NULL AS is_there,
       ARRAY(
           SELECT privilege
           FROM (
               VALUES (1, 'SELECT', has_table_privilege(to_regclass('{unsettled}'), 'SELECT')),
                      (2, 'INSERT', has_table_privilege(to_regclass('{unsettled}'), 'INSERT')),
                      (3, 'UPDATE (outcome, kind, reason)', has_any_column_privilege(to_regclass('{unsettled}'), 'UPDATE')),
                      (4, 'DELETE', has_table_privilege(to_regclass('{unsettled}'), 'DELETE'))
           ) AS needed (place, privilege, granted)
           WHERE NOT granted
           ORDER BY place
       ) AS lacks
