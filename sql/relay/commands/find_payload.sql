-- find_payload: the payload of an event and its size
-- $1: event_id; $2: indent the payload and cut it off after so many characters; NULL: as it is
-- $3: cut it off after so many characters, and read nothing of a payload that takes more bytes on
-- disk; NULL: all of it
SELECT CASE WHEN longest IS NULL THEN text ELSE coalesce(left(text, longest), '') END AS payload,
       coalesce(length(text) > longest, text IS NULL) AS cut,
       bytes,
       stored_bytes
FROM (
    -- Once: each reading of the column takes several times its size in memory.
    SELECT text,
           coalesce($2::integer, $3::integer) AS longest,
           CASE WHEN $2::integer IS NULL THEN octet_length(text) ELSE octet_length(payload::text) END::bigint AS bytes,
           pg_column_size(payload)::bigint AS stored_bytes
    FROM {outbox} AS event
    CROSS JOIN LATERAL (
        SELECT CASE
                   WHEN $2::integer IS NOT NULL THEN jsonb_pretty(payload)
                   WHEN $3::integer IS NULL OR pg_column_size(payload) <= $3 THEN payload::text
               END AS text
        OFFSET 0
    ) AS read
    WHERE event_id = $1::uuid
    OFFSET 0
) AS event
