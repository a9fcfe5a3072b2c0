-- load: the contents of pending events, as far as they are still pending; NULL for a text that is
-- too long, whose size is told instead (0: it was not counted), and for all texts of an event once
-- enough bytes are loaded
-- $1: ids; $2: bytes after which no further event is loaded; $3: bytes of a payload at the
-- most; $4: bytes that a message has room for in its headers, the aggregate's name among them
SELECT id,
       event_id,
       attempts,
       last_error,
       created_at,
       statement_timestamp() AS loaded_at,
       is_loaded,
       CASE WHEN is_loaded THEN aggregate_type END AS aggregate_type,
       CASE WHEN is_loaded THEN aggregate_id END AS aggregate_id,
       event_type,
       CASE WHEN is_loaded THEN headers END AS headers,
       CASE WHEN is_loaded THEN payload END AS payload,
       aggregate_type_size,
       aggregate_id_size,
       event_type_size,
       headers_size,
       payload_size
FROM (
    SELECT sized.*,
           -- What was loaded up to this one, less this one: a frame that leaves it out is computed
           -- anew for each row.
           sum(weight) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - weight < $2::bigint AS is_loaded
    FROM (
        SELECT id, event_id, attempts, last_error, created_at, aggregate_type, aggregate_id, event_type,
               aggregate_type_size, aggregate_id_size, event_type_size,
               -- JSON needs up to six bytes where a message needs one.
               CASE WHEN octet_length(headers) <= 6 * $4::bigint THEN headers END AS headers,
               CASE WHEN octet_length(headers) <= 6 * $4::bigint THEN NULL ELSE coalesce(octet_length(headers), headers_size) END AS headers_size,
               CASE WHEN octet_length(payload) <= $3::bigint THEN payload END AS payload,
               CASE WHEN octet_length(payload) <= $3::bigint THEN NULL ELSE coalesce(octet_length(payload), payload_size) END AS payload_size,
               CASE WHEN octet_length(payload) <= $3::bigint THEN octet_length(payload) ELSE 0 END
               + CASE WHEN octet_length(headers) <= 6 * $4::bigint THEN octet_length(headers) ELSE 0 END
               + coalesce(octet_length(aggregate_type), 0)
               + coalesce(octet_length(aggregate_id), 0) AS weight
        FROM (
            -- A jsonb is at most 4 times as long as its text, and at most 255 times as long as it
            -- is stored. What is certainly too long is never made into text, and only what may be
            -- is unpacked, into an array, to see how long it is.
            SELECT id, event_id, attempts, created_at,
                   -- A relay writes no longer ones.
                   left(last_error::text, 2000) AS last_error,
                   CASE WHEN octet_length(aggregate_type::text) <= $4::bigint THEN aggregate_type::text END AS aggregate_type,
                   CASE WHEN octet_length(aggregate_type::text) > $4::bigint THEN octet_length(aggregate_type::text) END AS aggregate_type_size,
                   CASE WHEN octet_length(aggregate_id::text) <= $4::bigint THEN aggregate_id::text END AS aggregate_id,
                   CASE WHEN octet_length(aggregate_id::text) > $4::bigint THEN octet_length(aggregate_id::text) END AS aggregate_id_size,
                   CASE WHEN octet_length(event_type::text) <= 255 THEN event_type::text END AS event_type,
                   CASE WHEN octet_length(event_type::text) > 255 THEN octet_length(event_type::text) END AS event_type_size,
                   CASE
                       WHEN pg_column_size(headers) <= $4::bigint / 10 THEN headers::text
                       WHEN pg_column_size(headers) <= 24 * $4::bigint + 1000
                           AND (pg_column_compression(headers) IS NULL OR pg_column_size(ARRAY[headers]) <= 24 * $4::bigint + 1000) THEN headers::text
                   END AS headers,
                   CASE
                       WHEN pg_column_size(headers) <= $4::bigint / 10 THEN NULL
                       WHEN pg_column_compression(headers) IS NULL OR pg_column_size(headers) > 24 * $4::bigint + 1000 THEN pg_column_size(headers)
                       ELSE 0
                   END AS headers_size,
                   CASE
                       WHEN pg_column_size(payload) <= $3::bigint / 64 THEN payload::text
                       WHEN pg_column_size(payload) <= 4 * $3::bigint + 1000
                           AND (pg_column_compression(payload) IS NULL OR pg_column_size(ARRAY[payload]) <= 4 * $3::bigint + 1000) THEN payload::text
                   END AS payload,
                   CASE
                       WHEN pg_column_size(payload) <= $3::bigint / 64 THEN NULL
                       WHEN pg_column_compression(payload) IS NULL OR pg_column_size(payload) > 4 * $3::bigint + 1000 THEN pg_column_size(payload)
                       ELSE 0
                   END AS payload_size
            FROM {outbox}
            WHERE id = ANY ($1::bigint[])
              -- Put so that no index of pending events fits: one that has the id in second place
              -- would be read as a whole for each id.
              AND CASE WHEN published_at IS NULL THEN true ELSE false END
              -- A person may have moved one that was never tried, since it was found.
              AND (next_attempt_at > now() AND (attempts > 0) IS NOT TRUE) IS NOT TRUE
            OFFSET 0
        ) AS text
        OFFSET 0
    ) AS sized
) AS measured
ORDER BY id
