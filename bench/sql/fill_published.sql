-- fill_published: adds the events of fill_orders as published two days ago; the default retention
-- keeps them for a week
-- $1: number of the first; $2: number of the last; $3: how many customers there are
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at, published_at)
SELECT id,
       'order',
       id::text,
       'order.created',
       jsonb_build_object('order_public_id', id, 'customer_public_id',
                          '00000000-0000-0000-0000-' || lpad((number % $3::bigint + 1)::text, 12, '0'),
                          'product_name', 'a bicycle bell', 'quantity', 1, 'price', '12.50', 'status', 'created'),
       now() - interval '2 days',
       now() - interval '2 days'
FROM generate_series($1::bigint, $2::bigint) AS number,
     LATERAL (SELECT timestamptz '2025-06-01 00:00:00Z' + number * interval '1 second') AS moment (at),
     LATERAL (
         SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(number), 12, '0'))::uuid
     ) AS made (id)
