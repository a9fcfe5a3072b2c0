-- check_server: what the server says of itself
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby,
       current_database()::text AS database
