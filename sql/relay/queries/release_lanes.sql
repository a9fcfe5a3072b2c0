-- release_lanes: lets other relays take lanes
-- $1: lanes
SELECT lane FROM unnest($1::integer[]) AS lane WHERE pg_advisory_unlock(1869968384 + lane, '{outbox}'::regclass::oid::integer)
