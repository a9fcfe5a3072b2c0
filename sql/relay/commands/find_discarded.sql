-- find_discarded: the copy of a discarded event in the audit table, whose contents may have been
-- forgotten
-- $1: event_id; $2: indent the payload and cut it off after so many characters; NULL: all of it as
-- it is
SELECT json_build_object(
           'id', event->'id',
           'event_id', event->'event_id',
           'aggregate_type', event->'aggregate_type',
           'aggregate_id', coalesce(event->>'aggregate_id', ''),
           'event_type', event->'event_type',
           'state', 'discarded',
           'created_at', event->'created_at',
           'attempts', event->'attempts',
           'next_attempt_at', event->'next_attempt_at',
           'last_error', event->'last_error',
           'headers', event->'headers',
           'forgotten', CASE WHEN NOT event ? 'payload' THEN true END
       )::text,
       CASE WHEN $2::integer IS NULL THEN payload::text ELSE left(jsonb_pretty(payload), $2) END AS payload,
       CASE WHEN $2::integer IS NULL THEN false ELSE length(jsonb_pretty(payload)) > $2 END AS cut,
       octet_length(payload::text)::bigint AS bytes
FROM {audit} AS entry
CROSS JOIN LATERAL (SELECT coalesce(event->'payload', 'null') AS payload OFFSET 0) AS contents
WHERE event_id = $1::uuid
  AND action = 'discard'
  AND NOT EXISTS (
      SELECT FROM {audit} AS later WHERE later.event_id = entry.event_id AND later.action = 'restore' AND later.id > entry.id
  )
ORDER BY id DESC
LIMIT 1
