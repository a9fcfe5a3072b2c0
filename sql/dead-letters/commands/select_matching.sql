-- select_matching: the ids of dead letters that match, in no order
-- $1: the conditions; $2: their states; $3: at most how many
SELECT id
FROM dead_letters
WHERE state = ANY ($2::text[]) AND {matches}
LIMIT $3::bigint
