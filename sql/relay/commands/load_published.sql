-- load_published: the contents of selected published events, in order
-- $1: the conditions; $2: event_ids; NULL: any; $3: above which id; $4: up to which id; $5: at most
-- how many; $6: bytes of payload and headers after which a page ends; $7: bytes of a payload above
-- which its size is returned instead; $8: published before; NULL: at any time
SELECT id,
       event_id,
       attempts,
       created_at,
       statement_timestamp() AS loaded_at,
       true AS is_loaded,
       aggregate_type::text AS aggregate_type,
       aggregate_id::text AS aggregate_id,
       event_type::text AS event_type,
       headers::text AS headers,
       CASE WHEN octet_length(body) <= $7::bigint THEN body END AS payload,
       NULL::integer AS aggregate_type_size,
       NULL::integer AS aggregate_id_size,
       NULL::integer AS event_type_size,
       NULL::integer AS headers_size,
       CASE WHEN octet_length(body) > $7::bigint THEN octet_length(body) END AS payload_size
FROM (
    -- By stored sizes, so that a page of large payloads is not decompressed to take a few. A
    -- compressed one may be 16 times as long.
    SELECT page.*,
           sum(
               pg_column_size(payload)::bigint * CASE WHEN pg_column_compression(payload) IS NULL THEN 1 ELSE 16 END
               + coalesce(pg_column_size(headers)::bigint * CASE WHEN pg_column_compression(headers) IS NULL THEN 1 ELSE 16 END, 0)
           ) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS loaded_before
    FROM (
        SELECT id, event_id, aggregate_type, aggregate_id, event_type, headers, attempts, created_at, payload
        FROM {outbox}
        WHERE published_at IS NOT NULL
          AND id > $3::bigint
          AND id <= $4::bigint
          AND ($2::uuid[] IS NULL OR event_id = ANY ($2))
          AND {matches}
          AND {matches_cause}
          AND ($8::text IS NULL OR published_at < $8::text::timestamptz)
        ORDER BY id
        LIMIT $5::bigint
    ) AS page
) AS measured
CROSS JOIN LATERAL (SELECT payload::text AS body OFFSET 0) AS unpacked
WHERE coalesce(loaded_before, 0) < $6::bigint
ORDER BY id
