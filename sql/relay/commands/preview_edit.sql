-- preview_edit: a pending event as it would be after an edit, in the form of load; also the hash of
-- what is stored now, the columns that would change, whether the event is held back, and whether it
-- is scheduled or parked
-- $1: event_id; $2: event_type; $3: headers; $4: payload; NULL: as it is; $5: bytes of a payload at
-- the most; $6: bytes of the aggregate's name at the most; $7: next_attempt_at; NULL: as it is
SELECT id,
       event_id,
       attempts,
       created_at,
       statement_timestamp() AS loaded_at,
       true AS is_loaded,
       CASE WHEN octet_length(aggregate_type) <= $6::bigint THEN aggregate_type END AS aggregate_type,
       CASE WHEN octet_length(aggregate_type) > $6::bigint THEN octet_length(aggregate_type) END AS aggregate_type_size,
       CASE WHEN octet_length(aggregate_id) <= $6::bigint THEN aggregate_id END AS aggregate_id,
       CASE WHEN octet_length(aggregate_id) > $6::bigint THEN octet_length(aggregate_id) END AS aggregate_id_size,
       CASE WHEN octet_length(event_type) <= 255 THEN event_type END AS event_type,
       CASE WHEN octet_length(event_type) > 255 THEN octet_length(event_type) END AS event_type_size,
       -- JSON needs up to six bytes where a message needs one.
       CASE WHEN octet_length(headers) <= 6 * $6::bigint THEN headers END AS headers,
       CASE WHEN octet_length(headers) > 6 * $6::bigint THEN octet_length(headers) END AS headers_size,
       CASE WHEN octet_length(payload) <= $5::bigint THEN payload END AS payload,
       CASE WHEN octet_length(payload) > $5::bigint THEN octet_length(payload) END AS payload_size,
       digest,
       is_held_back,
       is_held_back AND NOT coalesce(attempts > 0, false) AS is_scheduled,
       array_remove(
           ARRAY[
               CASE WHEN event_type IS DISTINCT FROM old_event_type THEN 'event_type' END,
               CASE WHEN headers IS DISTINCT FROM old_headers THEN 'headers' END,
               CASE WHEN payload IS DISTINCT FROM old_payload THEN 'payload' END,
               CASE WHEN next_attempt_at IS DISTINCT FROM old_next_attempt_at THEN 'next_attempt_at' END
           ],
           NULL
       ) AS changed
FROM (
    SELECT id,
           event_id,
           attempts,
           created_at,
           aggregate_type::text AS aggregate_type,
           aggregate_id::text AS aggregate_id,
           event_type::text AS old_event_type,
           headers::text AS old_headers,
           payload::text AS old_payload,
           coalesce($2::text, event_type::text) AS event_type,
           coalesce($3::text::jsonb::text, headers::text) AS headers,
           coalesce($4::text::jsonb::text, payload::text) AS payload,
           next_attempt_at AS old_next_attempt_at,
           coalesce($7::text::timestamptz, next_attempt_at) AS next_attempt_at,
           {contents_digest} AS digest,
           coalesce(next_attempt_at > now(), false) AS is_held_back
    FROM {outbox}
    WHERE event_id = $1::uuid AND published_at IS NULL
    OFFSET 0
) AS edited
