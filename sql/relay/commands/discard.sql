-- discard: deletes pending events that are not locked, and keeps a copy of each in the audit table;
-- returns their event_ids and the ids of their audit rows
-- $1: event_ids; $2: actor; $3: reason
WITH free AS MATERIALIZED (
    SELECT id
    FROM {outbox}
    WHERE event_id = ANY ($1::uuid[]) AND published_at IS NULL
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM {outbox} WHERE id = ANY (ARRAY(SELECT id FROM free)) AND published_at IS NULL RETURNING *
)
INSERT INTO {audit} (actor, action, reason, event_id, event)
SELECT $2::text, 'discard', $3::text, event_id, to_jsonb(gone)
FROM gone
ORDER BY id
RETURNING event_id, id
