-- select_matching: the ids of matching dead letters in one state, in no order
-- $1: the conditions; $2: the state: one, as each has indexes of its own; $3: at most how many
SELECT id
FROM dead_letters
WHERE state = $2::text AND {matches}
LIMIT $3::bigint
