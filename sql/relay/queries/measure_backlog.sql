-- measure_backlog: how far behind the relay is, for its metrics; what is counted is bounded, so that a huge backlog costs no more
-- $1: where counting ends
SELECT (SELECT count(*) FROM (SELECT FROM {outbox} WHERE published_at IS NULL LIMIT $1::bigint) AS pending) AS pending,
       (
           SELECT count(*)
           FROM (SELECT FROM {outbox} WHERE published_at IS NULL AND next_attempt_at > now() LIMIT $1::bigint) AS held_back
       ) AS held_back,
       (
           SELECT count(*)
           FROM (SELECT FROM {outbox} WHERE published_at IS NULL AND next_attempt_at = 'infinity' LIMIT $1::bigint) AS stuck
       ) AS stuck,
       coalesce(
           (
               SELECT extract(epoch FROM now() - oldest.created_at)::double precision
               FROM (SELECT created_at FROM {outbox} WHERE published_at IS NULL ORDER BY id LIMIT 1) AS oldest
               WHERE isfinite(oldest.created_at)
           ),
           0
       ) AS oldest_pending_age_seconds
