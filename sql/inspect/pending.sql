-- pending: what the relay has still to publish, oldest first   (order database)
SELECT id, event_type, aggregate_id, state, date_trunc('milliseconds', age) AS age, attempts, last_error
FROM outbox_pending
LIMIT 50;
