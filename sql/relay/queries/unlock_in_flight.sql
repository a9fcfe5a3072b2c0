-- unlock_in_flight: gives up the locks by which commands were told of audit rows
-- $1: ids of audit rows
SELECT pg_advisory_unlock_shared(1869968384 + 68, (audit_id & 2147483647)::integer) FROM unnest($1::bigint[]) AS audit_id
