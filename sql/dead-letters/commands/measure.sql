-- measure: the sizes of dead letters in bytes, by which return divides them into windows
-- $1: ids
SELECT id, octet_length(body) + octet_length(content_header) AS bytes
FROM dead_letters
WHERE id = ANY ($1::bigint[])
ORDER BY id
