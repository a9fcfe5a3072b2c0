-- find_unsettled: whether there is a table for events that can't be settled, and whether this role may use it
SELECT coalesce(
           has_table_privilege(to_regclass('{unsettled}'), 'SELECT')
           AND has_table_privilege(to_regclass('{unsettled}'), 'INSERT')
           AND has_table_privilege(to_regclass('{unsettled}'), 'DELETE')
           AND has_any_column_privilege(to_regclass('{unsettled}'), 'UPDATE'),
           false
       ) AS usable,
       current_setting('server_encoding') AS encoding
