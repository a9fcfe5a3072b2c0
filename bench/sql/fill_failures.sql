-- fill_failures: adds events that a relay holds back, of the aggregate type 'failing': of 20, 17
-- have failed, most of them for good, one waits behind those of its aggregate, one is scheduled,
-- one is parked; some causes have many more events than others
-- $1: how many; $2: how many causes; $3: payload
INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, attempts, next_attempt_at, last_error, error_kind, error_fingerprint)
SELECT 'failing',
       'failing-' || n / 20,
       (ARRAY['order.created', 'order.paid', 'order.shipped'])[1 + cause % 3],
       $3::text::jsonb,
       CASE WHEN failed THEN 20 ELSE 0 END,
       CASE n % 20
           WHEN 19 THEN NULL
           WHEN 18 THEN now() + interval '1 day'
           WHEN 17 THEN 'infinity'
           WHEN 16 THEN now() + interval '1 hour'
           ELSE 'infinity'
       END,
       CASE WHEN failed THEN format('no queue is bound for event %s of cause %s', n, cause) END,
       CASE WHEN failed THEN (ARRAY['returned', 'refused', 'nacked', 'unpublishable'])[1 + cause % 4] END,
       CASE WHEN failed THEN lpad(to_hex(cause), 16, '0') END
FROM generate_series(1, $1::bigint) AS n,
     LATERAL (
         SELECT (n % 20) < 17 AS failed,
                floor($2::bigint * power((n * 7919 % 10000) / 10000.0, 2))::integer AS cause
     ) AS what
