-- find_missing_privileges: the privileges that the consumer needs and the role lacks, in the words
-- of GRANT
-- $1: whether the consumer prunes processed_events
SELECT privilege || ' ON ' || table_name AS missing
FROM (
    VALUES (1, 'customers', 'SELECT (id)', has_column_privilege('customers', 'id', 'SELECT')),
           (2, 'customers', 'SELECT (orders_count)', has_column_privilege('customers', 'orders_count', 'SELECT')),
           (3, 'customers', 'UPDATE (orders_count)', has_column_privilege('customers', 'orders_count', 'UPDATE')),
           (4, 'processed_events', 'SELECT', has_table_privilege('processed_events', 'SELECT')),
           (5, 'processed_events', 'INSERT (event_id)', has_column_privilege('processed_events', 'event_id', 'INSERT')),
           (6, 'processed_events', 'DELETE', NOT $1::boolean OR has_table_privilege('processed_events', 'DELETE'))
) AS needed (ordinal, table_name, privilege, is_granted)
WHERE NOT is_granted
ORDER BY ordinal
