-- find_event: an event without its payload, and the event of its aggregate that it waits behind
-- $1: event_id; $2: whether a failed event holds back the later ones of its aggregate; $3: whether
-- a stuck one does; $4: headers that take more bytes on disk are left out; NULL: none
SELECT json_build_object(
           'id', event.id,
           'event_id', event.event_id,
           'aggregate_type', event.aggregate_type,
           'aggregate_id', event.aggregate_id,
           'event_type', event.event_type,
           'state', CASE
               WHEN event.published_at IS NOT NULL THEN 'published'
               WHEN event.next_attempt_at = 'infinity' THEN CASE WHEN event.attempts > 0 THEN 'stuck' ELSE 'parked' END
               WHEN event.next_attempt_at > now() THEN CASE WHEN event.attempts > 0 THEN 'waiting' ELSE 'scheduled' END
               WHEN ahead.id IS NOT NULL THEN 'behind'
               ELSE 'ready'
           END,
           'lane', hashtextextended(event.aggregate_id, hashtextextended(event.aggregate_type, 0)) & 63,
           'created_at', event.created_at,
           'age_seconds', CASE
               WHEN isfinite(event.created_at) THEN extract(epoch FROM now() - event.created_at)::double precision
           END,
           'published_at', event.published_at,
           'published_age_seconds', CASE
               WHEN isfinite(event.published_at) THEN extract(epoch FROM now() - event.published_at)::double precision
           END,
           'attempts', event.attempts,
           'next_attempt_at', event.next_attempt_at,
           'last_error', event.last_error{cause_members},
           'waits_behind', ahead.event_id,
           'waits_behind_id', ahead.id,
           'headers', CASE WHEN headers.are_short THEN event.headers END,
           'headers_stored_bytes', CASE WHEN NOT headers.are_short THEN pg_column_size(event.headers) END
       )::text
FROM {outbox} AS event
LEFT JOIN LATERAL (
    -- All of them first: a plan for the earlier ones, or for the first one, might read all pending
    -- rows of the aggregate.
    WITH failed AS MATERIALIZED (
        SELECT failed.id, failed.event_id
        FROM {outbox} AS failed
        WHERE $2::boolean
          AND event.published_at IS NULL
          AND failed.published_at IS NULL
          AND failed.next_attempt_at IS NOT NULL
          AND failed.attempts > 0
          AND hashtextextended(failed.aggregate_id, hashtextextended(failed.aggregate_type, 0))
              = ANY (ARRAY[hashtextextended(event.aggregate_id, hashtextextended(event.aggregate_type, 0))])
          AND ($3::boolean OR failed.next_attempt_at < 'infinity')
    )
    SELECT id, event_id FROM failed WHERE id < event.id ORDER BY id LIMIT 1
) AS ahead ON true
CROSS JOIN LATERAL (SELECT coalesce(pg_column_size(event.headers) <= $4::integer, true) AS are_short) AS headers
WHERE event.event_id = $1::uuid
