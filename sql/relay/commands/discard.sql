-- discard: deletes events that are not published and that nobody has locked, and keeps a copy of each with the reason in the audit table;
-- returns which, and the ids of their audit rows
-- $1: event_ids; $2: who; $3: why
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
