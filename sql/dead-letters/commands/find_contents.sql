-- find_contents: the editable contents of a dead letter, their hash, and its state
-- $1: id; $2: longer contents are left out, in bytes; $3: of a longer body nothing is read, and no
-- row is returned; NULL: of none
SELECT state,
       {contents_digest} AS digest,
       octet_length(body) + octet_length(headers::text) <= $2::bigint AS is_short,
       content_header,
       CASE WHEN octet_length(body) + octet_length(headers::text) <= $2::bigint THEN body ELSE '' END AS body,
       jsonb_pretty(headers) AS headers,
       octet_length(body) AS bytes
FROM dead_letters
WHERE id = $1::bigint
  AND ($3::integer IS NULL OR octet_length(body) <= $3)
