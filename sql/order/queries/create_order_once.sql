-- name: inserts an order, its event and its key; returns no row if the key created an order within the last 24 hours
-- A second request with the key waits here until the first has committed or failed.
WITH claimed AS (
    INSERT INTO idempotency_keys AS held (key, order_id)
    VALUES ($9, $1)
    ON CONFLICT (key) DO UPDATE SET order_id = excluded.order_id, created_at = excluded.created_at
    WHERE held.created_at < now() - interval '24 hours'
    RETURNING order_id
), new_order AS (
    INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
    SELECT order_id, $2, $3, $4, $5, $6
    FROM claimed
    RETURNING *
), event AS (
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT $7, 'order', id::text, 'order.' || status,
           jsonb_build_object('order_public_id', id, 'customer_public_id', customer_public_id,
                              'product_name', product_name, 'quantity', quantity, 'price', price::text,
                              'status', status),
           $8
    FROM new_order
)
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM new_order
