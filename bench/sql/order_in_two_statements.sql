-- order_in_two_statements: a service's transaction for a single order, as a pgbench script
\set customer random(1, :customers)
BEGIN;
INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
VALUES (bench_uuid_v7(), bench_customer(:customer), 'a bicycle bell', 1, 12.50, 'Cra 7 #12-34, Bogotá')
RETURNING id AS order_id, created_at \gset
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers)
VALUES (bench_uuid_v7(), 'order', :order_id, 'order.created',
        jsonb_build_object('order_public_id', (:order_id)::text, 'customer_public_id', bench_customer(:customer),
                           'product_name', 'a bicycle bell', 'quantity', 1, 'price', '12.50', 'status', 'created'),
        '{}');
COMMIT;
