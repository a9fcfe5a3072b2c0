-- fill_dead_letters: adds dead letters of five queues, of which one in 13 was returned or discarded
-- and one in 1,000 is being returned; some causes have many more than others
-- $1: how many; $2: how many causes
INSERT INTO dead_letters (
    queue, return_to, identity, message_id, event_type, exchange, routing_key, body, content_type, content_header, properties, headers,
    error_kind, reason, fingerprint, tries, first_failed_at, last_failed_at, state, settled_at
)
SELECT (ARRAY['billing', 'customers', 'mail', 'search', 'stock'])[1 + n % 5] || '.dlq',
       (ARRAY['billing', 'customers', 'mail', 'search', 'stock'])[1 + n % 5],
       sha256(int8send(n)),
       'm' || n,
       type,
       'orders.events',
       type,
       convert_to(format('{"n": %s, "product_name": "a bicycle bell", "delivery_address": "Cra 7 #12-34"}', n), 'UTF8'),
       'application/json',
       -- No properties at all.
       decode('003c000000000000000000000000', 'hex'),
       '{}',
       jsonb_build_object('x-reason', format('customer %s is unknown to cause %s', n, cause), 'x-tries', 20),
       (ARRAY['failed', 'rejected', 'expired'])[1 + cause % 3],
       format('customer %s is unknown to cause %s', n, cause),
       lpad(to_hex(cause), 16, '0'),
       20,
       now() - interval '1 day',
       now() - interval '1 hour',
       state,
       CASE WHEN state IN ('returned', 'discarded') THEN now() - n * interval '1 millisecond' END
FROM generate_series(1, $1::bigint) AS n,
     LATERAL (SELECT floor($2::bigint * power((n * 7919 % 10000) / 10000.0, 2))::integer AS cause) AS why,
     LATERAL (
         SELECT (ARRAY['order.created', 'order.paid', 'order.shipped'])[1 + cause % 3] AS type,
                CASE
                    WHEN n % 997 = 0 THEN 'returning'
                    WHEN n % 19 = 1 THEN 'returned'
                    WHEN n % 37 = 2 THEN 'discarded'
                    ELSE 'open'
                END AS state
     ) AS what
