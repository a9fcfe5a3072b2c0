-- scan_due_retries: events that failed and are due again, those first that are due longest
-- $1: lanes, one bit each; $2: how many at the most; $3: whether an event that failed holds back those behind it; $4: also one that is stuck
SELECT due.id, due.key, due.size
FROM (
    SELECT id,
           hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key,
           (
               pg_column_size(payload)::bigint * CASE WHEN pg_column_compression(payload) IS NULL THEN 1 ELSE 16 END
               + coalesce(pg_column_size(headers)::bigint * CASE WHEN pg_column_compression(headers) IS NULL THEN 1 ELSE 16 END, 0)
           ) AS size,
           next_attempt_at
    FROM {outbox}
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= now()
) AS due
WHERE (1::bigint << (due.key & 63)::integer) & $1::bigint <> 0
  AND NOT (
      $3::boolean
      AND coalesce((
          -- Put in the order of an index, so that no other one is taken: statistics that know of no failed events yet make any of them
          -- look as good.
          SELECT true
          FROM {outbox} AS ahead
          WHERE ahead.published_at IS NULL
            AND ahead.next_attempt_at IS NOT NULL
            AND hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0)) BETWEEN due.key AND due.key
            AND CASE WHEN ahead.id < due.id THEN true ELSE false END
            -- Implied by the condition of the one index that is meant, which alone is spared its cost: without statistics, or with ones that
            -- a burst has made wrong, the planner would read an aggregate's whole backlog for each of its events.
            AND (ahead.next_attempt_at IS NOT NULL OR to_tsvector('pg_catalog.simple', ahead.last_error) IS NULL)
            AND ($4::boolean OR ahead.next_attempt_at < 'infinity')
          ORDER BY hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0))
          LIMIT 1
      ), false)
  )
ORDER BY due.next_attempt_at
LIMIT $2::bigint
