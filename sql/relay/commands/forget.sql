-- forget: deletes published events that nobody has locked, and erases what the audit table has of
-- the contents of these and of events that are not in the outbox; returns the event_ids of which
-- something was erased
-- $1: event_ids; $2: actor; $3: reason; $4: operation_id; $5: whether to erase the reasons of the
-- audit rows as well, but for those of erasures
WITH free AS MATERIALIZED (
    SELECT id
    FROM {outbox}
    WHERE event_id = ANY ($1::uuid[]) AND published_at IS NOT NULL
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM {outbox} WHERE id = ANY (ARRAY(SELECT id FROM free)) AND published_at IS NOT NULL RETURNING id, event_id
),
kept AS (
    SELECT event_id FROM {outbox} WHERE event_id = ANY ($1::uuid[]) AND id NOT IN (SELECT id FROM gone)
),
bare AS (
    SELECT id,
           CASE
               WHEN event IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object(
                   'id', event -> 'id',
                   'event_id', event -> 'event_id',
                   'aggregate_type', event -> 'aggregate_type',
                   'event_type', event -> 'event_type',
                   'created_at', event -> 'created_at',
                   'attempts', event -> 'attempts',
                   'next_attempt_at', event -> 'next_attempt_at',
                   'error_kind', event -> 'error_kind',
                   'error_fingerprint', event -> 'error_fingerprint'
               ))
           END AS event,
           -- last_error may quote a header, a filter the aggregate.
           CASE
               WHEN jsonb_typeof(detail) = 'object'
                   THEN detail - ARRAY['before', 'after', 'payload', 'headers', 'last_error', 'aggregate', 'aggregate_id']
           END AS detail,
           CASE WHEN NOT $5::boolean OR action = 'forget' THEN reason END AS reason
    FROM {audit}
    WHERE event_id = ANY ($1::uuid[]) AND event_id NOT IN (SELECT event_id FROM kept)
),
erased AS (
    UPDATE {audit} AS entry
    SET event = bare.event, detail = bare.detail, reason = bare.reason
    FROM bare
    WHERE entry.id = bare.id
      AND (entry.event, entry.detail, entry.reason) IS DISTINCT FROM (bare.event, bare.detail, bare.reason)
    RETURNING entry.event_id
)
INSERT INTO {audit} (actor, action, reason, event_id, operation_id)
SELECT $2::text, 'forget', $3::text, event_id, $4::uuid
FROM (SELECT event_id FROM gone UNION SELECT event_id FROM erased) AS forgotten
ORDER BY event_id
RETURNING event_id
