-- lock_in_flight: tells commands which audit rows are of events that this relay had sent before, by
-- a lock for each
-- $1: ids of audit rows
SELECT pg_try_advisory_lock_shared(1869968384 + 68, (audit_id & 2147483647)::integer) FROM unnest($1::bigint[]) AS audit_id
