-- load_published: the contents of selected published events, in order
-- $1: above which id; $2: event_ids; $3: aggregate_id; $4: event_type; $5: published at or after;
-- $6: published before; NULL: any; $7: up to which id; $8: at most how many; $9: bytes of payload
-- and headers after which a page ends; $10: bytes of a payload above which its size is returned
-- instead
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
       CASE WHEN octet_length(body) <= $10::bigint THEN body END AS payload,
       NULL::integer AS aggregate_type_size,
       NULL::integer AS aggregate_id_size,
       NULL::integer AS event_type_size,
       NULL::integer AS headers_size,
       CASE WHEN octet_length(body) > $10::bigint THEN octet_length(body) END AS payload_size
FROM (
    -- By stored sizes, so that a page of large payloads is not decompressed to take a few. A compressed one may be 16
    -- times as long.
    SELECT page.*,
           sum(
               pg_column_size(payload)::bigint * CASE WHEN pg_column_compression(payload) IS NULL THEN 1 ELSE 16 END
               + coalesce(pg_column_size(headers)::bigint * CASE WHEN pg_column_compression(headers) IS NULL THEN 1 ELSE 16 END, 0)
           ) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS loaded_before
    FROM (
        SELECT id, event_id, aggregate_type, aggregate_id, event_type, headers, attempts, created_at, payload
        FROM {outbox}
        WHERE published_at IS NOT NULL
          AND id > $1::bigint
          AND id <= $7::bigint
          AND ($2::uuid[] IS NULL OR event_id = ANY ($2))
          AND ($3::text IS NULL OR aggregate_id = $3)
          AND ($4::text IS NULL OR event_type = $4)
          AND ($5::timestamptz IS NULL OR published_at >= $5)
          AND ($6::timestamptz IS NULL OR published_at < $6)
        ORDER BY id
        LIMIT $8::bigint
    ) AS page
) AS measured
CROSS JOIN LATERAL (SELECT payload::text AS body OFFSET 0) AS unpacked
WHERE coalesce(loaded_before, 0) < $9::bigint
ORDER BY id
