-- find_pauses: whether there is a table of pauses, which an older schema has not, and whether this
-- role may read it
SELECT to_regclass('{pauses}') IS NOT NULL AS table_exists,
       coalesce(has_table_privilege(to_regclass('{pauses}'), 'SELECT'), false) AS is_readable
