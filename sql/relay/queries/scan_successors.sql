-- scan_successors: what comes next in some aggregates, scheduled events that are due among it
-- $1: the aggregates' keys; $2: for each, the id behind which to look; $3: how many of each at the
-- most; $4: whether a stuck event holds back those behind it; $5, $6, $7: the aggregate_type, the
-- aggregate_id and the event_type of each pause; an event that is paused is marked, and a scheduled
-- one that is paused is left out
WITH pauses AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id, event_type
    FROM unnest($5::text[], $6::text[], $7::text[]) AS pause (aggregate_type, aggregate_id, event_type)
)
SELECT aggregate.key, next.id, next.size, next.is_paused
FROM unnest($1::bigint[], $2::bigint[]) AS aggregate (key, id)
CROSS JOIN LATERAL (
    SELECT candidate.id, candidate.size, pause.is_paused
    FROM (
        SELECT behind.id,
               behind.aggregate_type,
               behind.aggregate_id,
               behind.event_type,
               behind.next_attempt_at,
               aggregate.key,
               (
                   pg_column_size(behind.payload)::bigint * CASE WHEN pg_column_compression(behind.payload) IS NULL THEN 1 ELSE 16 END
                   + coalesce(pg_column_size(behind.headers)::bigint * CASE WHEN pg_column_compression(behind.headers) IS NULL THEN 1 ELSE 16 END, 0)
               ) AS size
        FROM {outbox} AS behind
        WHERE behind.published_at IS NULL
          AND (behind.next_attempt_at IS NULL OR coalesce(behind.attempts, 0) <= 0 AND behind.next_attempt_at <= now())
          AND hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0)) = aggregate.key
          AND behind.id > aggregate.id
    ) AS candidate
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pauses) AND {pause_kind} > 0 AS is_paused) AS pause
    WHERE NOT {is_held_back}
      AND (candidate.next_attempt_at IS NULL OR NOT pause.is_paused)
    ORDER BY candidate.id
    LIMIT $3::bigint
) AS next
ORDER BY aggregate.key, next.id
