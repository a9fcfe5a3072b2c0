-- find_unsettled: the ids of the oldest dead letters that are open, or that are being returned
-- Rows are read in order until enough meet the conditions: with queue and fingerprint no more than
-- these, with a time or a part of the reason all before them.
-- $1: the conditions; $2: the state; $3: at most how many
SELECT id
FROM dead_letters
WHERE state = $2::text AND {matches}
ORDER BY id
LIMIT $3::bigint
