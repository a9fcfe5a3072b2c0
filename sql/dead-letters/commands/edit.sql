-- edit: replaces the contents of an open dead letter, unless they have changed since the person saw
-- them or it is locked; keeps what was collected; returns its id
-- $1: id; $2: actor; $3: reason; $4: operation_id; $5: the hash of the contents that the person saw;
-- $6: body, NULL: as it is; $7: content_header; $8: the new values of headers, as people see them;
-- $9: the names of headers that are removed; $10: the names of what was changed
WITH free AS MATERIALIZED (
    SELECT id, body, content_header, headers
    FROM dead_letters
    WHERE id = $1::bigint AND state = 'open' AND {contents_digest} = $5::text
    FOR UPDATE SKIP LOCKED
),
edited AS (
    UPDATE dead_letters AS letter
    SET body = coalesce($6::bytea, letter.body),
        content_header = $7::bytea,
        headers = (letter.headers - $9::text[]) || $8::text::jsonb,
        original = coalesce(
            letter.original,
            jsonb_build_object(
                'body', translate(encode(letter.body, 'base64'), E'\n', ''),
                'content_header', translate(encode(letter.content_header, 'base64'), E'\n', '')
            )
        )
    FROM free
    WHERE letter.id = free.id
    RETURNING letter.id, letter.headers
),
audited AS (
    -- Both versions of the body, if it was edited; in base64, as it need not be text.
    INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, detail, operation_id)
    SELECT $2::text, 'edit', $3::text, edited.id,
           jsonb_build_object('headers', free.headers)
               || CASE
                   WHEN $6::bytea IS NULL THEN '{}'
                   ELSE jsonb_build_object('body', translate(encode(free.body, 'base64'), E'\n', ''))
               END,
           jsonb_build_object('headers', edited.headers)
               || CASE
                   WHEN $6::bytea IS NULL THEN '{}'
                   ELSE jsonb_build_object('body', translate(encode($6::bytea, 'base64'), E'\n', ''))
               END,
           jsonb_build_object('changed', $10::text[]),
           $4::uuid
    FROM edited
    JOIN free USING (id)
)
SELECT id FROM edited
