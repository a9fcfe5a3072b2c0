-- count_backlog: the numbers of pending, waiting, scheduled, stuck and parked events, and the oldest
-- pending event that is not written for later, if it is among those that are counted
-- $1: where counting stops
-- Put so (SELECT false) that the planner does not make IS NOT TRUE of it, which no index has, and in
-- the order of the one index that is meant; an equality with infinity would leave that of the ids
SELECT json_build_object(
           'pending', (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM {outbox}
                   WHERE published_at IS NULL
                   ORDER BY id
                   LIMIT $1::bigint
               ) AS pending
           ),
           'waiting', (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM {outbox}
                   WHERE published_at IS NULL AND next_attempt_at > now() AND next_attempt_at < 'infinity' AND ((attempts > 0) IS TRUE)
                   LIMIT $1::bigint
               ) AS waiting
           ),
           'scheduled', (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM {outbox}
                   WHERE published_at IS NULL AND next_attempt_at > now() AND next_attempt_at < 'infinity' AND ((attempts > 0) IS TRUE) = (SELECT false)
                   ORDER BY next_attempt_at, id
                   LIMIT $1::bigint
               ) AS scheduled
           ),
           'stuck', (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM {outbox}
                   WHERE published_at IS NULL AND next_attempt_at = 'infinity' AND ((attempts > 0) IS TRUE)
                   LIMIT $1::bigint
               ) AS stuck
           ),
           'parked', (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM {outbox}
                   WHERE published_at IS NULL AND next_attempt_at >= 'infinity' AND ((attempts > 0) IS TRUE) = (SELECT false)
                   ORDER BY next_attempt_at, id
                   LIMIT $1::bigint
               ) AS parked
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
               FROM (
                   SELECT *
                   FROM (
                       SELECT id, event_id, aggregate_type, aggregate_id, event_type, created_at, attempts, next_attempt_at
                       FROM {outbox}
                       WHERE published_at IS NULL
                       ORDER BY id
                       LIMIT $1::bigint
                   ) AS pending
                   WHERE next_attempt_at IS NULL OR attempts > 0 OR next_attempt_at <= now()
                   ORDER BY id
                   LIMIT 1
               ) AS oldest
           )
       )::text
