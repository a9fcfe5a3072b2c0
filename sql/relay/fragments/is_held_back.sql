-- is_held_back: whether an earlier event of its aggregate failed and holds back the row
-- `candidate`, which has an id and the key of its aggregate; a scheduled one has not failed
-- $4: whether a stuck event does so too
coalesce((
    -- Put in the order of an index, so that no other one is taken: statistics that know of no
    -- failed events yet make any of them look as good.
    SELECT true
    FROM {outbox} AS ahead
    WHERE ahead.published_at IS NULL
      AND ahead.next_attempt_at IS NOT NULL
      AND hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0))
          BETWEEN candidate.key AND candidate.key
      AND ahead.attempts > 0
      AND CASE WHEN ahead.id < candidate.id THEN true ELSE false END
      -- Implied by the condition of the one index that is meant, which alone is spared its cost:
      -- without statistics, or with ones that a burst has made wrong, the planner would read an
      -- aggregate's whole backlog for each of its events.
      AND (ahead.attempts > 0 OR to_tsvector('pg_catalog.simple', ahead.last_error) IS NULL)
      AND ($4::boolean OR ahead.next_attempt_at < 'infinity')
    ORDER BY hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0))
    LIMIT 1
), false)
