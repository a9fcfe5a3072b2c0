-- measure_backlog: how far behind the relay is, for its metrics; what is counted is bounded, so
-- that a huge backlog costs no more
-- $1: where counting ends
SELECT (SELECT count(*) FROM (SELECT FROM {outbox} WHERE published_at IS NULL LIMIT $1::bigint) AS pending) AS pending,
       (
           SELECT count(*)
           FROM (
               SELECT
               FROM {outbox}
               WHERE published_at IS NULL AND next_attempt_at > now() AND (attempts > 0) IS TRUE
               LIMIT $1::bigint
           ) AS held_back
       ) AS held_back,
       (
           SELECT count(*)
           FROM (
               SELECT
               FROM {outbox}
               WHERE published_at IS NULL AND next_attempt_at = 'infinity' AND (attempts > 0) IS TRUE
               LIMIT $1::bigint
           ) AS stuck
       ) AS stuck,
       (
           SELECT count(*)
           FROM (
               SELECT
               FROM {outbox}
               WHERE published_at IS NULL
                 AND next_attempt_at > now()
                 -- Put so that the planner does not make IS NOT TRUE of it, which no index has.
                 AND ((attempts > 0) IS TRUE) = (SELECT false)
               -- In the order of the one index that is meant.
               ORDER BY next_attempt_at, id
               LIMIT $1::bigint
           ) AS scheduled
       ) AS scheduled
