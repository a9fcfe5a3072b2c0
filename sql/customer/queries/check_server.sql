-- check_server: what the server says of itself, and as whom it is asked
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby,
       current_setting('default_transaction_read_only')::boolean AS is_read_only,
       current_database()::text AS database,
       current_user::text AS role
