-- find_unsettled: whether the role may look at the events that can't be settled; an older schema has no table for them
SELECT coalesce(has_table_privilege(to_regclass('{unsettled}'), 'SELECT'), false)
