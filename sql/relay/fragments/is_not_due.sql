-- is_not_due: whether the row is pending, its time has not come, and it is listed behind a place
-- $2, $7: the id and the time of that place, NULL: anywhere; $8: those that failed, or those that did
-- not; $9: those that have no next attempt, or those that have one
published_at IS NULL
AND next_attempt_at IS NOT NULL
-- In a subquery: the planner would make IS NOT TRUE of it, which the index does not have.
AND ((attempts > 0) IS TRUE) = (SELECT $8::boolean)
-- Not as an equality, which would leave the order of the ids alone, in which other indexes are.
AND (NOT $9::boolean OR next_attempt_at >= 'infinity')
AND ($9::boolean OR (next_attempt_at > now() AND next_attempt_at < 'infinity'))
AND ($2::bigint IS NULL OR (next_attempt_at, id) > ($7::text::timestamptz, $2))
