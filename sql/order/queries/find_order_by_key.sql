-- find_order_by_key: the order that a key created within the last 24 hours
SELECT o.id, customer_public_id, product_name, quantity, price, delivery_address, status, o.created_at, updated_at
FROM idempotency_keys AS held
JOIN orders AS o ON o.id = held.order_id
WHERE held.key = $1 AND held.created_at >= now() - interval '24 hours'
