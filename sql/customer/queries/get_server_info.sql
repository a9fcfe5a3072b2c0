-- get_server_info: version and state of the server, and the database and role of this session
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby,
       current_setting('default_transaction_read_only')::boolean AS is_read_only,
       current_database()::text AS database,
       current_user::text AS role
