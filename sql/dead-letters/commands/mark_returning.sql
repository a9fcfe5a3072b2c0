-- mark_returning: marks dead letters that nobody has locked as being returned, before they are
-- published; returns their ids, and whether they were marked before One that was marked before is
-- left from an interrupted command, or is being published by another command, which then has it
-- locked.
-- $1: ids; $2: actor; $3: reason; $4: operation_id; $5: the queue, NULL: the one that each has
WITH free AS MATERIALIZED (
    SELECT id, state
    FROM dead_letters
    WHERE id = ANY ($1::bigint[])
      AND CASE WHEN state IN ('open', 'returning') AND coalesce($5::text, return_to) IS NOT NULL THEN true ELSE false END
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
marked AS (
    UPDATE dead_letters
    SET state = 'returning'
    WHERE id = ANY (ARRAY(SELECT id FROM free))
    RETURNING id, return_to
),
audited AS (
    INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, detail, operation_id)
    SELECT $2::text, 'return', $3::text, id, jsonb_build_object('state', free.state), '{"state": "returning"}',
           jsonb_build_object('to', coalesce($5::text, marked.return_to)), $4::uuid
    FROM marked
    JOIN free USING (id)
    ORDER BY id
)
SELECT id, free.state = 'returning' AS may_have_arrived
FROM marked
JOIN free USING (id)
ORDER BY id
