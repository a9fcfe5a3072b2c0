-- find_audit: the audit rows of an event, the oldest first
-- $1: event_id; $2: at most how many, the latest ones; $3: of details that take more bytes on disk
-- only their size is returned; NULL: all of them
SELECT json_build_object(
           'happened_at', happened_at,
           'actor', actor,
           'db_user', db_user,
           'action', action,
           'reason', reason,
           'detail', CASE
               WHEN pg_column_size(detail) > $3::integer THEN jsonb_build_object('left_out_bytes', pg_column_size(detail))
               ELSE detail
           END
       )::text
FROM (
    SELECT * FROM {audit} WHERE event_id = $1::uuid ORDER BY id DESC LIMIT $2::bigint
) AS latest
ORDER BY id
