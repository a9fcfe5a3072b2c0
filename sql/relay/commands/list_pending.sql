-- list_pending: events that are not published, the oldest first
-- $1: only stuck ones; $2: aggregate_id; $3: event_type; $4: created at or after; $5: how many at the most; NULL: any
SELECT json_build_object(
           'id', id,
           'event_id', event_id,
           'aggregate_type', aggregate_type,
           'aggregate_id', aggregate_id,
           'event_type', event_type,
           'state', CASE
               WHEN next_attempt_at = 'infinity' THEN 'stuck'
               WHEN next_attempt_at > now() THEN 'waiting'
               ELSE 'ready'
           END,
           'created_at', created_at,
           'age_seconds', CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision END,
           'published_at', published_at,
           'attempts', attempts,
           'next_attempt_at', next_attempt_at,
           'last_error', last_error
       )::text
FROM {outbox}
WHERE published_at IS NULL
  AND (NOT $1::boolean OR next_attempt_at = 'infinity')
  AND ($2::text IS NULL OR aggregate_id = $2)
  AND ($3::text IS NULL OR event_type = $3)
  AND ($4::timestamptz IS NULL OR created_at >= $4)
ORDER BY id
LIMIT $5::bigint
