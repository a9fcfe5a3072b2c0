-- probe_return: fails unless the role may return dead letters; changes nothing
WITH returned AS (
    UPDATE dead_letters SET state = state, return_to = return_to, settled_at = settled_at WHERE false RETURNING id
)
INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, detail, operation_id)
SELECT '', 'return', NULL, id, NULL, NULL, NULL, gen_random_uuid()
FROM returned
