-- find_audit: what people did to a dead letter, the oldest first
-- $1: id; $2: at most how many, the latest ones
SELECT json_build_object(
           'happened_at', happened_at,
           'actor', actor,
           'db_user', db_user,
           'action', action,
           'reason', reason,
           'before', before,
           'after', after,
           'detail', detail,
           'operation_id', operation_id
       )::text
FROM (
    SELECT * FROM dead_letters_audit WHERE dead_letter_id = $1::bigint ORDER BY id DESC LIMIT $2::bigint
) AS latest
ORDER BY id
