-- check_server: what the server says about itself
SELECT current_setting('server_version_num')::integer AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby,
       -- The default one: this transaction is read-only anyway.
       current_setting('default_transaction_read_only')::boolean AS is_read_only,
       current_database()::text AS database
