-- count_rows: about how many rows the outbox has, as of its last analysis; 0 if it had none
SELECT GREATEST(reltuples, 0)::bigint FROM pg_class WHERE oid = '{outbox}'::regclass
