-- lock_returning: loads returning dead letters and locks them until their outcomes are stored, so
-- that no other command publishes them meanwhile
-- $1: ids; $2: the queue, NULL: the one that each has
SELECT id, queue, coalesce($2::text, return_to) AS return_to, content_header, body
FROM dead_letters
WHERE id = ANY ($1::bigint[]) AND CASE WHEN state = 'returning' AND coalesce($2::text, return_to) IS NOT NULL THEN true ELSE false END
ORDER BY id
FOR UPDATE SKIP LOCKED
