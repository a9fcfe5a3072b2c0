-- check_server: what the server says of itself
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby,
       -- The transaction's own is on: nothing is to be changed by looking.
       current_setting('default_transaction_read_only')::boolean AS is_read_only,
       current_database()::text AS database
