-- edit: changes the contents of a pending event that nobody has locked and that still is as it was
-- shown, makes it due or moves it if that is wanted, and keeps the row before in the audit table;
-- returns the event_id and the id of the audit row
-- $1: event_id; $2: event_type; $3: headers; $4: payload; NULL: as it is; $5: the hash of what was
-- shown; $6: whether to make it due if it is held back; $7: actor; $8: reason; $9: operation_id;
-- $10: next_attempt_at of an event that was never tried; NULL: as it is
WITH free AS MATERIALIZED (
    SELECT event.*
    FROM {outbox} AS event
    WHERE event_id = $1::uuid
      AND published_at IS NULL
      AND {contents_digest} = $5::text
      AND ($10::text IS NULL OR (attempts > 0) IS NOT TRUE)
    FOR NO KEY UPDATE SKIP LOCKED
),
edited AS (
    UPDATE {outbox} AS event
    SET event_type = coalesce($2::text, event.event_type),
        headers = coalesce($3::text::jsonb, event.headers),
        payload = coalesce($4::text::jsonb, event.payload),
        next_attempt_at = CASE
            WHEN $6::boolean AND event.next_attempt_at > now() THEN now()
            ELSE coalesce($10::text::timestamptz, event.next_attempt_at)
        END
    FROM free
    WHERE event.id = free.id AND event.published_at IS NULL
    RETURNING event.id, event.event_type, event.headers, event.payload, event.next_attempt_at
)
INSERT INTO {audit} (actor, action, reason, event_id, event, detail, operation_id)
SELECT $7::text,
       'edit',
       $8::text,
       free.event_id,
       to_jsonb(free),
       jsonb_build_object('before', difference.before, 'after', difference.after),
       $9::uuid
FROM edited
JOIN free ON free.id = edited.id
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(name, old) AS before, jsonb_object_agg(name, new) AS after
    FROM (
        VALUES ('event_type', to_jsonb(free.event_type), to_jsonb(edited.event_type)),
               ('headers', free.headers, edited.headers),
               ('payload', free.payload, edited.payload),
               ('next_attempt_at', to_jsonb(free.next_attempt_at), to_jsonb(edited.next_attempt_at))
    ) AS compared (name, old, new)
    -- By their text: jsonb takes 1.0 and 1.00 for equal.
    WHERE old::text IS DISTINCT FROM new::text
) AS difference
RETURNING event_id, id
