-- find_missing_columns: the columns that the consumer needs and the database lacks
SELECT table_name || '.' || column_name AS missing
FROM (
    VALUES (1, 'customers', 'id'),
           (2, 'customers', 'orders_count'),
           (3, 'processed_events', 'event_id'),
           (4, 'processed_events', 'processed_at')
) AS needed (ordinal, table_name, column_name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_attribute
    WHERE attrelid = to_regclass(table_name) AND attname = column_name AND NOT attisdropped
)
ORDER BY ordinal
