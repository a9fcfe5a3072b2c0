-- load: the contents of pending events, as far as they are still pending; a payload is left out once enough bytes are loaded, or when it is too long
-- $1: ids; $2: bytes of payload and headers after which no further payload is loaded; $3: bytes of a payload at the most
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       headers,
       attempts,
       last_error,
       size,
       size > $3::bigint AS too_long,
       CASE WHEN size <= $3::bigint AND loaded_before < $2::bigint THEN payload END AS payload,
       created_at,
       statement_timestamp() AS loaded_at
FROM (
    SELECT text.*,
           -- What was loaded up to this one, less this one: a frame that leaves it out is computed anew for each row.
           sum(weight) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - weight AS loaded_before
    FROM (
        SELECT pending.*,
               octet_length(payload)::bigint AS size,
               CASE WHEN octet_length(payload) <= $3::bigint THEN octet_length(payload) + octet_length(headers) ELSE 0 END AS weight
        FROM (
            SELECT id, event_id, aggregate_type, aggregate_id, event_type, attempts, created_at,
                   -- A relay writes no longer ones.
                   left(last_error, 2000) AS last_error,
                   headers::text AS headers, payload::text AS payload
            FROM {outbox}
            WHERE id = ANY ($1::bigint[])
              -- Put so that no index of pending events fits: one that has the id in second place would be read as a whole for each id.
              AND CASE WHEN published_at IS NULL THEN true ELSE false END
            OFFSET 0
        ) AS pending
        OFFSET 0
    ) AS text
) AS measured
ORDER BY id
