-- check_pauses: whether the table of pauses exists, and which privileges the role lacks on it
SELECT to_regclass('{pauses}') IS NOT NULL AS table_exists,
       ARRAY(
           SELECT privilege
           FROM (
               VALUES (1, 'SELECT', has_table_privilege(to_regclass('{pauses}'), 'SELECT')),
                      (2, 'INSERT', has_table_privilege(to_regclass('{pauses}'), 'INSERT')),
                      (3, 'DELETE', has_table_privilege(to_regclass('{pauses}'), 'DELETE'))
           ) AS needed (ordinal, privilege, granted)
           WHERE NOT granted
           ORDER BY ordinal
       ) AS missing
