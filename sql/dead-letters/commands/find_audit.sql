-- find_audit: the audit rows of a dead letter, the oldest first
-- $1: id; $2: at most how many, the latest ones; $3: whether with the bodies before and after an edit
-- $4: of contents that take more bytes on disk only their size is returned, NULL: all of them
SELECT json_build_object(
           'happened_at', happened_at,
           'actor', actor,
           'db_user', db_user,
           'action', action,
           'reason', reason,
           'before', CASE
               WHEN pg_column_size(before) > $4::integer THEN jsonb_build_object('left_out_bytes', pg_column_size(before))
               WHEN $3::boolean THEN before
               ELSE before - 'body'
           END,
           'after', CASE
               WHEN pg_column_size(after) > $4::integer THEN jsonb_build_object('left_out_bytes', pg_column_size(after))
               WHEN $3::boolean THEN after
               ELSE after - 'body'
           END,
           'detail', detail,
           'operation_id', operation_id
       )::text
FROM (
    SELECT * FROM dead_letters_audit WHERE dead_letter_id = $1::bigint ORDER BY id DESC LIMIT $2::bigint
) AS latest
ORDER BY id
