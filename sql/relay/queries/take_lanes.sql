-- take_lanes: takes those of some lanes that nobody owns; the server gives them back when the
-- session ends
-- $1: lanes
SELECT lane FROM unnest($1::integer[]) AS lane WHERE pg_try_advisory_lock(1869968384 + lane, '{outbox}'::regclass::oid::integer)
