-- add_event: adds one event, as a service that generates its own ids does
-- $1: event_id; $2: aggregate_id; $3: payload
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload)
VALUES ($1, 'order', $2, 'order.created', $3::text::jsonb)
