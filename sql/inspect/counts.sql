-- counts: each customer's orders_count, and how many events were applied   (customer database)
SELECT id, name, orders_count FROM customers ORDER BY orders_count DESC, id LIMIT 50;
SELECT count(*) AS processed_events, max(processed_at) AS latest FROM processed_events;
