-- find_event: one event with all that is known of it, but its payload; and the event of its aggregate that it waits behind
-- $1: its event_id
SELECT json_build_object(
           'id', event.id,
           'event_id', event.event_id,
           'aggregate_type', event.aggregate_type,
           'aggregate_id', event.aggregate_id,
           'event_type', event.event_type,
           'state', CASE
               WHEN event.published_at IS NOT NULL THEN 'published'
               WHEN event.next_attempt_at = 'infinity' THEN 'stuck'
               WHEN event.next_attempt_at > now() THEN 'waiting'
               ELSE 'ready'
           END,
           'lane', hashtextextended(event.aggregate_id, hashtextextended(event.aggregate_type, 0)) & 63,
           'created_at', event.created_at,
           'age_seconds', CASE
               WHEN isfinite(event.created_at) THEN extract(epoch FROM now() - event.created_at)::double precision
           END,
           'published_at', event.published_at,
           'attempts', event.attempts,
           'next_attempt_at', event.next_attempt_at,
           'last_error', event.last_error,
           'waits_behind', ahead.event_id,
           'headers', event.headers
       )::text
FROM {outbox} AS event
LEFT JOIN LATERAL (
    SELECT failed.event_id
    FROM {outbox} AS failed
    WHERE event.published_at IS NULL
      AND failed.published_at IS NULL
      AND failed.next_attempt_at IS NOT NULL
      AND hashtextextended(failed.aggregate_id, hashtextextended(failed.aggregate_type, 0))
          = hashtextextended(event.aggregate_id, hashtextextended(event.aggregate_type, 0))
      AND failed.id < event.id
    ORDER BY failed.id
    LIMIT 1
) AS ahead ON true
WHERE event.event_id = $1::uuid
