-- find_any: the ids of the latest dead letters, whatever their state is
-- $1: the conditions; $2: at most how many
SELECT id
FROM dead_letters
WHERE {matches}
ORDER BY id DESC
LIMIT $2::bigint
