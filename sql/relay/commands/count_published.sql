-- count_published: how many published events are selected, the highest id, and when they were
-- counted, unless they are named
-- $1: the conditions; $2: event_ids; NULL: any
SELECT count(*), coalesce(max(id), 0), CASE WHEN $2::uuid[] IS NULL THEN to_json(statement_timestamp()) #>> '{}' END
FROM {outbox}
WHERE published_at IS NOT NULL
  AND ($2::uuid[] IS NULL OR event_id = ANY ($2))
  AND ($2::uuid[] IS NOT NULL OR published_at < statement_timestamp())
  AND {matches}
  AND {matches_cause}
