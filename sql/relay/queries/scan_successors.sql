-- scan_successors: what comes next in some aggregates
-- $1: the aggregates' keys; $2: for each, the id behind which to look; $3: how many of each at the most; $4: whether a stuck event holds
-- back those behind it
SELECT line.key, next.id, next.size
FROM unnest($1::bigint[], $2::bigint[]) AS line (key, id)
CROSS JOIN LATERAL (
    SELECT behind.id,
           (
               pg_column_size(behind.payload)::bigint * CASE WHEN pg_column_compression(behind.payload) IS NULL THEN 1 ELSE 16 END
               + coalesce(pg_column_size(behind.headers)::bigint * CASE WHEN pg_column_compression(behind.headers) IS NULL THEN 1 ELSE 16 END, 0)
           ) AS size
    FROM {outbox} AS behind
    WHERE behind.published_at IS NULL
      AND behind.next_attempt_at IS NULL
      AND hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0)) = line.key
      AND behind.id > line.id
      AND NOT coalesce((
          -- Put in the order of an index, so that no other one is taken: statistics that know of no failed events yet make any of them
          -- look as good.
          SELECT true
          FROM {outbox} AS ahead
          WHERE ahead.published_at IS NULL
            AND ahead.next_attempt_at IS NOT NULL
            AND hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0)) BETWEEN line.key AND line.key
            AND CASE WHEN ahead.id < behind.id THEN true ELSE false END
            -- Implied by the condition of the one index that is meant, which alone is spared its cost: without statistics, or with ones that
            -- a burst has made wrong, the planner would read an aggregate's whole backlog for each of its events.
            AND (ahead.next_attempt_at IS NOT NULL OR to_tsvector('pg_catalog.simple', ahead.last_error) IS NULL)
            AND ($4::boolean OR ahead.next_attempt_at < 'infinity')
          ORDER BY hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0))
          LIMIT 1
      ), false)
    ORDER BY behind.id
    LIMIT $3::bigint
) AS next
ORDER BY line.key, next.id
