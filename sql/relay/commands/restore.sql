-- restore: adds discarded events again that are not in the outbox, with new ids and otherwise as
-- the audit table's copies; returns their event_ids and new ids
-- $1: event_ids; $2: actor; $3: reason; $4: operation_id
WITH latest AS MATERIALIZED (
    SELECT DISTINCT ON (event_id) id, event_id, action, event
    FROM {audit}
    WHERE event_id = ANY ($1::uuid[]) AND action IN ('discard', 'restore')
    ORDER BY event_id, id DESC
),
restored AS (
    INSERT INTO {outbox} (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, next_attempt_at)
    SELECT event_id,
           event ->> 'aggregate_type',
           event ->> 'aggregate_id',
           event ->> 'event_type',
           event -> 'payload',
           event -> 'headers',
           coalesce((event ->> 'created_at')::timestamptz, now()),
           -- Of one that was scheduled or parked.
           CASE WHEN event ->> 'attempts' = '0' THEN (event ->> 'next_attempt_at')::timestamptz END
    FROM latest
    -- A copy without a payload was forgotten.
    WHERE action = 'discard'
      AND event ? 'payload'
      AND NOT EXISTS (SELECT FROM {outbox} AS present WHERE present.event_id = latest.event_id)
    -- In the order in which they were, which somebody else may have written as anything.
    ORDER BY CASE WHEN event ->> 'id' ~ '^-?[0-9]{1,18}$' THEN (event ->> 'id')::bigint END, id
    RETURNING id, event_id
),
noted AS (
    INSERT INTO {audit} (actor, action, reason, event_id, detail, operation_id)
    SELECT $2::text, 'restore', $3::text, restored.event_id, jsonb_build_object('id', restored.id, 'id_before', latest.event -> 'id'), $4::uuid
    FROM restored
    JOIN latest ON latest.event_id = restored.event_id
    ORDER BY restored.id
    RETURNING event_id
)
SELECT restored.event_id, restored.id
FROM restored
JOIN noted ON noted.event_id = restored.event_id
ORDER BY restored.id
