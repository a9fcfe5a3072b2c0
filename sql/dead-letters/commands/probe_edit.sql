-- probe_edit: fails unless the role may edit dead letters; changes nothing
WITH edited AS (
    UPDATE dead_letters
    SET body = body, content_header = content_header, headers = headers, original = original
    WHERE false
    RETURNING id
)
INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, detail, operation_id)
SELECT '', 'edit', NULL, id, NULL, NULL, NULL, gen_random_uuid()
FROM edited
