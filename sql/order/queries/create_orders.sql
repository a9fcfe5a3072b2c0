-- create_orders: inserts orders, their events and their keys; leaves out orders whose key created
-- one within the last 24 hours
-- $10: how long to wait for a key that another transaction holds, with a unit; 0: as long as the
-- statement may take. A batch must not wait for long, since all its orders do. Keys are inserted in
-- a fixed order, so that concurrent batches can't deadlock. An order that a trigger leaves out has
-- no event.
WITH given AS (
    SELECT new.*
    FROM (SELECT set_config('lock_timeout', $10, true)) AS lock_timeout,
         unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::numeric[], $6::text[], $7::uuid[], $8::jsonb[], $9::text[])
             AS new (id, customer_public_id, product_name, quantity, price, delivery_address, event_id, headers, key)
), claimed AS (
    INSERT INTO idempotency_keys AS held (key, order_id)
    SELECT key, id
    FROM given
    WHERE key IS NOT NULL
    ORDER BY key COLLATE "C"
    ON CONFLICT (key) DO UPDATE SET order_id = excluded.order_id, created_at = excluded.created_at
    WHERE held.created_at < now() - interval '24 hours'
    RETURNING order_id
), accepted AS (
    SELECT *
    FROM given
    WHERE key IS NULL OR id IN (SELECT order_id FROM claimed)
), new_order AS (
    INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
    SELECT id, customer_public_id, product_name, quantity, price, delivery_address
    FROM accepted
    RETURNING id, created_at
), event AS (
    INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT event_id, 'order', id::text, 'order.created',
           jsonb_build_object('order_public_id', id, 'customer_public_id', customer_public_id,
                              'product_name', product_name, 'quantity', quantity,
                              'price', price::numeric(10,2)::text, 'status', 'created'),
           headers
    FROM accepted
    WHERE id = ANY (ARRAY(SELECT id FROM new_order))
)
SELECT id, created_at
FROM new_order
