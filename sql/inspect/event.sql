-- event: one event with all that is known of it   (order database; psql -v event_id=… -f event.sql)
SELECT id, event_id, aggregate_type, aggregate_id, event_type, created_at, published_at, attempts, next_attempt_at,
       last_error, headers, jsonb_pretty(payload) AS payload
FROM outbox
WHERE event_id = :'event_id';
