-- reopen: marks dead letters that the broker did not take as open again; the audit table says why
-- $1: ids; $2: actor; $3: reason; $4: operation_id; $5: for each id why;
-- $6: whether an earlier attempt may have arrived
WITH refused AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $5::text[], $6::boolean[]) AS refused (id, error, may_have_arrived)
),
opened AS (
    UPDATE dead_letters
    -- For the row of a message that dies again after it had arrived, whatever happens to this one.
    SET state = 'open',
        may_have_arrived = may_have_arrived
            OR id = ANY (ARRAY(SELECT refused.id FROM refused WHERE refused.may_have_arrived))
    WHERE id = ANY ($1::bigint[]) AND CASE WHEN state = 'returning' THEN true ELSE false END
    RETURNING id
)
INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, detail, operation_id)
SELECT $2::text, 'return', $3::text, id, '{"state": "returning"}', '{"state": "open"}',
       jsonb_build_object('error', refused.error)
           || CASE WHEN refused.may_have_arrived THEN '{"may_have_arrived": true}' ELSE '{}' END::jsonb,
       $4::uuid
FROM opened
JOIN refused USING (id)
ORDER BY id
