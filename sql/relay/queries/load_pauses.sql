-- load_pauses: the active pauses, and how old each is
-- $1: how many at the most
SELECT aggregate_type::text AS aggregate_type,
       aggregate_id::text AS aggregate_id,
       event_type::text AS event_type,
       CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision ELSE 0 END AS age_seconds
FROM {pauses}
WHERE until IS NULL OR until > now()
ORDER BY id
LIMIT $1::bigint
