-- lock_audit: waits until no other command adds audit rows, so that their ids are committed in
-- order: a relay that sees one has seen all with a lower id
SELECT pg_advisory_xact_lock(1869968384 + 66, '{outbox}'::regclass::oid::integer)
