-- find_contents: the contents of a pending event, indented to be read, with their hash
-- $1: event_id; $2: how many bytes the payload and the headers may have; of longer ones nothing is
-- returned but the hash; $3: a payload or headers that take more bytes on disk are not read, and
-- no row is returned; NULL: any are
SELECT event_type::text AS event_type,
       CASE WHEN is_short THEN coalesce(jsonb_pretty(headers), 'null') END AS headers,
       CASE WHEN is_short THEN jsonb_pretty(payload::jsonb) END AS payload,
       is_short,
       digest
FROM (
    SELECT event_type, headers, payload,
           octet_length(payload)::bigint + coalesce(octet_length(headers::text), 0) <= $2::bigint AS is_short,
           {contents_digest} AS digest
    FROM (
        -- As text once: each reading of the column takes several times its size in memory.
        SELECT event_type, headers, payload::text AS payload
        FROM {outbox}
        WHERE event_id = $1::uuid
          AND published_at IS NULL
          AND coalesce(greatest(pg_column_size(payload), pg_column_size(headers)) <= $3::integer, true)
        OFFSET 0
    ) AS read
    OFFSET 0
) AS event
