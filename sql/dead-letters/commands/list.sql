-- list: dead letters with the beginning of a body that is not long, in the order of the given ids
-- $1: ids
SELECT json_build_object(
           'id', id,
           'queue', queue,
           'return_to', return_to,
           'message_id', message_id,
           'event_type', event_type,
           'state', state,
           'error_kind', error_kind,
           'fingerprint', fingerprint,
           'reason', left(reason, 10000),
           'tries', tries,
           'returns', returns,
           'earlier_id', earlier_id,
           'first_failed_at', first_failed_at,
           'last_failed_at', last_failed_at,
           'collected_at', collected_at,
           'age_seconds', extract(epoch FROM now() - collected_at)::double precision,
           'settled_at', settled_at,
           'bytes', octet_length(body),
           -- Not of a body that is stored in parts elsewhere.
           'body_start', CASE WHEN octet_length(body) <= 1000 THEN encode(substring(body FROM 1 FOR 160), 'hex') END,
           'is_edited', original IS NOT NULL,
           'note', note
       )::text
FROM unnest($1::bigint[]) WITH ORDINALITY AS named (id, place)
JOIN dead_letters USING (id)
ORDER BY place
