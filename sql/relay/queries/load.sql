-- load: the contents of pending events, as far as they are still pending; a payload is left out once enough bytes are loaded, or when it is too long
-- $1: ids; $2: bytes of payload and headers after which no further payload is loaded; $3: bytes of a payload at the most
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       headers,
       attempts,
       size,
       size > $3::bigint AS too_long,
       CASE WHEN size <= $3::bigint AND loaded_before < $2::bigint THEN payload END AS payload,
       -- NULL for a time that RFC 3339 or the message's timestamp can't say.
       CASE WHEN sayable THEN to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END AS occurred_at,
       CASE WHEN sayable THEN floor(extract(epoch FROM created_at))::bigint END AS created_at_seconds,
       CASE WHEN sayable THEN extract(epoch FROM clock_timestamp() - created_at)::double precision END AS age_seconds
FROM (
    SELECT text.*,
           -- What was loaded up to this one, less this one: a frame that leaves it out is computed anew for each row.
           sum(weight) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - weight AS loaded_before,
           created_at >= 'epoch' AND created_at < '10000-01-01 00:00:00Z' AS sayable
    FROM (
        SELECT pending.*,
               octet_length(payload)::bigint AS size,
               CASE WHEN octet_length(payload) <= $3::bigint THEN octet_length(payload) + octet_length(headers) ELSE 0 END AS weight
        FROM (
            SELECT id, event_id, aggregate_type, aggregate_id, event_type, attempts, created_at,
                   headers::text AS headers, payload::text AS payload
            FROM {outbox}
            WHERE id = ANY ($1::bigint[]) AND published_at IS NULL
            OFFSET 0
        ) AS pending
        OFFSET 0
    ) AS text
) AS measured
ORDER BY id
