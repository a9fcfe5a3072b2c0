-- find_audit: what people did to one event, the oldest first
-- $1: its event_id; $2: how many at the most
SELECT json_build_object(
           'happened_at', happened_at,
           'actor', actor,
           'db_user', db_user,
           'action', action,
           'reason', reason,
           'detail', detail
       )::text
FROM (
    SELECT * FROM {audit} WHERE event_id = $1::uuid ORDER BY id DESC LIMIT $2::bigint
) AS latest
ORDER BY id
