-- count_returning: how many dead letters are returning, whether a command is publishing them or was
-- interrupted, counted up to 10,000
-- $1: only this queue, NULL: any
SELECT count(*)
FROM (
    SELECT FROM dead_letters WHERE state = 'returning' AND ($1::text IS NULL OR queue = $1) LIMIT 10000
) AS letter
