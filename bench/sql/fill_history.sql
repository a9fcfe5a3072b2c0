-- fill_history: adds events that were published an hour ago; only a retention of `0` prunes them
-- $1: number of the first; $2: number of the last; $3: payload
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at, published_at)
SELECT lpad(to_hex(n), 32, '0')::uuid,
       'order',
       'history-' || n,
       'order.created',
       $3::text::jsonb,
       now() - interval '1 hour',
       now() - interval '1 hour'
FROM generate_series($1::bigint, $2::bigint) AS n
