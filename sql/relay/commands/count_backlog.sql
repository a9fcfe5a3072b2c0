-- count_backlog: the numbers of pending, waiting and stuck events, and the oldest pending event
-- $1: where counting stops
SELECT json_build_object(
           'pending', (SELECT count(*) FROM (SELECT FROM {outbox} WHERE published_at IS NULL LIMIT $1::bigint) AS pending),
           'waiting', (
               SELECT count(*)
               FROM (
                   SELECT FROM {outbox}
                   WHERE published_at IS NULL AND next_attempt_at > now() AND next_attempt_at < 'infinity'
                   LIMIT $1::bigint
               ) AS waiting
           ),
           'stuck', (
               SELECT count(*)
               FROM (
                   SELECT FROM {outbox} WHERE published_at IS NULL AND next_attempt_at = 'infinity' LIMIT $1::bigint
               ) AS stuck
           ),
           'oldest', (
               SELECT json_build_object(
                          'event_id', event_id,
                          'aggregate_type', aggregate_type,
                          'aggregate_id', aggregate_id,
                          'event_type', event_type,
                          'created_at', created_at,
                          'age_seconds', CASE
                              WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision
                          END
                      )
               FROM {outbox}
               WHERE published_at IS NULL
               ORDER BY id
               LIMIT 1
           )
       )::text
