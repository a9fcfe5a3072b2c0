-- name_session: what people see of the session in pg_stat_activity; the server cuts it to 63 bytes
-- $1: its name
SELECT set_config('application_name', left($1::text, 63), false)
