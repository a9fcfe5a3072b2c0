-- note: replaces the notes of dead letters that nobody has locked; returns their ids
-- $1: ids; $2: actor; $3: reason; $4: operation_id; $5: the note, NULL: none
WITH free AS MATERIALIZED (
    SELECT id, note
    FROM dead_letters
    WHERE id = ANY ($1::bigint[])
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
noted AS (
    UPDATE dead_letters SET note = $5::text WHERE id = ANY (ARRAY(SELECT id FROM free)) RETURNING id
),
audited AS (
    INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, before, after, operation_id)
    SELECT $2::text, 'note', $3::text, id, jsonb_build_object('note', free.note), jsonb_build_object('note', $5::text), $4::uuid
    FROM noted
    JOIN free USING (id)
    ORDER BY id
)
SELECT id FROM noted
