-- find_discarded: the copy of a discarded event in the audit table
-- $1: event_id; $2: indent the payload and cut it off after so many characters; NULL: all of it as
-- it is
SELECT json_build_object(
           'id', event->'id',
           'event_id', event->'event_id',
           'aggregate_type', event->'aggregate_type',
           'aggregate_id', event->'aggregate_id',
           'event_type', event->'event_type',
           'state', 'discarded',
           'created_at', event->'created_at',
           'attempts', event->'attempts',
           'next_attempt_at', event->'next_attempt_at',
           'last_error', event->'last_error',
           'headers', event->'headers'
       )::text,
       CASE WHEN $2::integer IS NULL THEN (event->'payload')::text ELSE left(jsonb_pretty(event->'payload'), $2) END AS payload,
       CASE WHEN $2::integer IS NULL THEN false ELSE length(jsonb_pretty(event->'payload')) > $2 END AS cut,
       octet_length((event->'payload')::text)::bigint AS bytes
FROM {audit}
WHERE event_id = $1::uuid AND action = 'discard'
ORDER BY id DESC
LIMIT 1
