-- can_read_unsettled: whether the role can read the unsettled events; an older schema has no table
-- for them
SELECT coalesce(has_table_privilege(to_regclass('{unsettled}'), 'SELECT'), false)
