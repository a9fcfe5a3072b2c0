-- discard: marks open dead letters that nobody has locked as discarded; returns their ids
-- $1: ids; $2: actor; $3: reason; $4: operation_id
WITH free AS MATERIALIZED (
    SELECT id
    FROM dead_letters
    -- An expression, so that the planner can use no index but that on id.
    WHERE id = ANY ($1::bigint[]) AND CASE WHEN state = 'open' THEN true ELSE false END
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
discarded AS (
    UPDATE dead_letters
    SET state = 'discarded', settled_at = now()
    WHERE id = ANY (ARRAY(SELECT id FROM free))
    RETURNING id
),
audited AS (
    INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, operation_id)
    SELECT $2::text, 'discard', $3::text, id, '{"state": "open"}', '{"state": "discarded"}', $4::uuid
    FROM discarded
    ORDER BY id
)
SELECT id FROM discarded
