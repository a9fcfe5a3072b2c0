-- settle_returned: marks dead letters that the broker has confirmed as returned
-- $1: ids; $2: actor; $3: reason; $4: operation_id
-- settled_at is not that of the transaction, which was open while the broker was asked: collectors
-- count what was settled up to some seconds ago.
WITH returned AS (
    UPDATE dead_letters
    SET state = 'returned', settled_at = clock_timestamp()
    WHERE id = ANY ($1::bigint[]) AND CASE WHEN state = 'returning' THEN true ELSE false END
    RETURNING id
)
INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, operation_id)
SELECT $2::text, 'return', $3::text, id, '{"state": "returning"}', '{"state": "returned"}', $4::uuid
FROM returned
ORDER BY id
