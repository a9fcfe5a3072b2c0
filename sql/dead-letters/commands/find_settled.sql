-- find_settled: the ids of the dead letters that were returned, or discarded, last
-- $1: the conditions; $2: the state; $3: at most how many
SELECT id
FROM dead_letters
WHERE state = $2::text AND state IN ('returned', 'discarded') AND {matches}
ORDER BY settled_at DESC, id DESC
LIMIT $3::bigint
