-- count_published: how many published events are selected, and the highest id
-- $1: above which id; $2: event_ids; $3: aggregate_id; $4: event_type; $5: published at or after;
-- $6: published before; NULL: any
SELECT count(*), coalesce(max(id), 0)
FROM {outbox}
WHERE published_at IS NOT NULL
  AND id > $1::bigint
  AND ($2::uuid[] IS NULL OR event_id = ANY ($2))
  AND ($3::text IS NULL OR aggregate_id = $3)
  AND ($4::text IS NULL OR event_type = $4)
  AND ($5::timestamptz IS NULL OR published_at >= $5)
  AND ($6::timestamptz IS NULL OR published_at < $6)
