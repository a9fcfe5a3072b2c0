-- insert_dead_letters: adds rows; links the row of a message that was returned before, or may have
-- been, to its earlier row
-- $1: the dead-letter queue; $2: the session; $3 to $23: of each message its delivery tag, identity,
-- return_to, message_id, event_type, exchange, routing_key, body, content_type, content_header,
-- properties, headers, error_kind, reason, fingerprint, tries, first_failed_at, last_failed_at,
-- redelivered, and the queue and the id of the row that it was returned from
INSERT INTO dead_letters (
    queue, collector_session, delivery_tag, identity, return_to, message_id, event_type, exchange, routing_key, body, content_type,
    content_header, properties, headers, error_kind, reason, fingerprint, tries, first_failed_at, last_failed_at, redelivered,
    earlier_id, returns
)
SELECT $1::text, $2::uuid, message.tag, message.identity, message.return_to, message.message_id, message.event_type,
       message.exchange, message.routing_key, message.body, message.content_type, message.content_header,
       message.properties::jsonb, message.headers::jsonb, message.error_kind, message.reason, message.fingerprint,
       message.tries, message.first_failed_at::timestamptz, message.last_failed_at::timestamptz, message.redelivered,
       earlier.id, coalesce(earlier.returns + 1, 0)
FROM unnest(
    $3::bigint[], $4::bytea[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[], $11::text[],
    $12::bytea[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::integer[], $19::text[], $20::text[],
    $21::boolean[], $22::text[], $23::bigint[]
) AS message (
    tag, identity, return_to, message_id, event_type, exchange, routing_key, body, content_type, content_header, properties,
    headers, error_kind, reason, fingerprint, tries, first_failed_at, last_failed_at, redelivered, earlier_queue, earlier_id
)
LEFT JOIN LATERAL (
    SELECT row.id, row.returns
    FROM dead_letters AS row
    WHERE row.id = message.earlier_id
      AND row.queue = message.earlier_queue
      AND (row.state IN ('returning', 'returned') OR row.may_have_arrived)
) AS earlier ON true
ORDER BY message.tag
