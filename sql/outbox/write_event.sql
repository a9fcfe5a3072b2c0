INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, next_attempt_at)
VALUES (
    $1::text::uuid, $2::text, $3::text, $4::text, $5::text::jsonb, $6::text::jsonb,
    timestamptz 'epoch' + $7::text::bigint * interval '1 microsecond'
)
-- Adds an event. Every parameter is text, so that a driver needs no types of its own; $7 is the time before which the event
-- is not published, in microseconds since 1970. Without RETURNING: whoever may write need not be able to read.
