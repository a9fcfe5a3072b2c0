-- create_order: an order and its event, as a service without group commit writes them; the second
-- limit for orders
WITH new_order AS (
    INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
    VALUES ($1, $2, $3, $4, $5, $6)
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
