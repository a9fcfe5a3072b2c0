-- fill_orders: adds orders of the last year, with time-ordered ids like those of the service
-- $1: number of the first; $2: number of the last; $3: how many customers made them, in turn
INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address, created_at, updated_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(number), 12, '0'))::uuid,
       ('00000000-0000-0000-0000-' || lpad((number % $3::bigint + 1)::text, 12, '0'))::uuid,
       'a bicycle bell', 1, 12.50, 'Cra 7 #12-34, Bogotá', at, at
FROM generate_series($1::bigint, $2::bigint) AS number,
     LATERAL (SELECT timestamptz '2025-06-01 00:00:00Z' + number * interval '1 second') AS moment (at)
