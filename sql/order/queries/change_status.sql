-- change_status: changes the status of an order that is in one of the statuses $3, and inserts the
-- event; else returns no row
-- The update locks the order's row before the event gets its id, so the ids of an order's events
-- are in the order of their commits.
WITH changed AS (
    UPDATE orders
    SET status = $2, updated_at = clock_timestamp()
    WHERE id = $1 AND status = ANY ($3)
    RETURNING *
), event AS (
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at)
    SELECT $4, 'order', id::text, 'order.' || status,
           jsonb_build_object('order_public_id', id, 'customer_public_id', customer_public_id,
                              'product_name', product_name, 'quantity', quantity, 'price', price::text,
                              'status', status),
           $5, updated_at
    FROM changed
)
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM changed
