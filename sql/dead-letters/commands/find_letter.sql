-- find_letter: one dead letter with its properties and headers, and its body
-- $1: id; $2: at most how many bytes of the body, NULL: all; $3: headers and properties that take
-- more bytes on disk are left out, NULL: none
SELECT json_build_object(
           'id', id,
           'queue', queue,
           'return_to', return_to,
           'message_id', message_id,
           'event_type', event_type,
           'exchange', exchange,
           'routing_key', routing_key,
           'content_type', content_type,
           'state', state,
           'error_kind', error_kind,
           'fingerprint', fingerprint,
           'reason', reason,
           'tries', tries,
           'returns', returns,
           'earlier_id', earlier_id,
           'later_id', (SELECT min(later.id) FROM dead_letters AS later WHERE later.earlier_id = dead_letters.id),
           'first_failed_at', first_failed_at,
           'last_failed_at', last_failed_at,
           'collected_at', collected_at,
           'age_seconds', extract(epoch FROM now() - collected_at)::double precision,
           'redelivered', redelivered,
           'settled_at', settled_at,
           'may_have_arrived', may_have_arrived,
           'note', note,
           'properties', CASE WHEN are_short THEN properties END,
           'headers', CASE WHEN are_short THEN headers END,
           'headers_stored_bytes', CASE WHEN NOT are_short THEN pg_column_size(properties) + pg_column_size(headers) END,
           'is_edited', original IS NOT NULL,
           'is_forgotten', octet_length(content_header) = 0
       )::text,
       CASE WHEN $2::integer IS NULL THEN body ELSE substring(body FROM 1 FOR $2) END AS body,
       octet_length(body) AS bytes
FROM dead_letters
CROSS JOIN LATERAL (
    SELECT coalesce(greatest(pg_column_size(properties), pg_column_size(headers)) <= $3::integer, true) AS are_short
) AS measured
WHERE id = $1::bigint
