-- find_discarded: the copy of a discarded event in the audit table, whose contents may have been
-- forgotten
-- $1: event_id; $2: indent the payload and cut it off after so many characters; NULL: as it is
-- $3: cut it off after so many characters, and read nothing of a payload or of headers if the copy
-- takes more bytes on disk; NULL: all of it
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
           'headers_stored_bytes', CASE WHEN is_large THEN stored_bytes END,
           'forgotten', CASE WHEN NOT has_payload THEN true END
       )::text,
       CASE WHEN longest IS NULL THEN text ELSE coalesce(left(text, longest), '') END AS payload,
       coalesce(length(text) > longest, text IS NULL) AS cut,
       bytes,
       stored_bytes
FROM (
    -- Once: each reading of the column takes several times its size in memory.
    SELECT read.*,
           coalesce($2::integer, $3::integer) AS longest,
           CASE WHEN $2::integer IS NULL THEN octet_length(read.text) ELSE octet_length(read.payload::text) END::bigint AS bytes
    FROM {audit} AS entry
    CROSS JOIN LATERAL (
        SELECT pg_column_size(event)::bigint AS stored_bytes, coalesce(pg_column_size(event) > $3::integer, false) AS is_large OFFSET 0
    ) AS measured
    CROSS JOIN LATERAL (
        SELECT CASE WHEN is_large THEN entry.event - '{payload,headers}'::text[] ELSE entry.event - 'payload' END AS event,
               entry.event ? 'payload' AS has_payload,
               CASE WHEN NOT is_large THEN coalesce(entry.event->'payload', 'null') END AS payload,
               measured.stored_bytes,
               measured.is_large
        OFFSET 0
    ) AS contents
    CROSS JOIN LATERAL (
        SELECT contents.*, CASE WHEN $2::integer IS NULL THEN payload::text ELSE jsonb_pretty(payload) END AS text OFFSET 0
    ) AS read
    WHERE event_id = $1::uuid
      AND action = 'discard'
      AND NOT EXISTS (
          SELECT FROM {audit} AS later WHERE later.event_id = entry.event_id AND later.action = 'restore' AND later.id > entry.id
      )
    ORDER BY entry.id DESC
    LIMIT 1
) AS found
