-- load_unsettled: confirmed events of some lanes whose rows do not say so yet
-- $1: lanes, one bit each; $2: how many at the most
SELECT id, event_id, key, attempts, kind, reason
FROM (
    SELECT noted.id,
           noted.event_id,
           hashtextextended(outbox.aggregate_id, hashtextextended(outbox.aggregate_type, 0)) AS key,
           GREATEST(coalesce(outbox.attempts, 0), 0) AS attempts,
           noted.kind,
           noted.reason
    FROM {unsettled} AS noted
    JOIN {outbox} AS outbox ON outbox.id = noted.id
    WHERE noted.outcome = 'published'
      AND outbox.event_id = noted.event_id
      AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
    OFFSET 0
) AS pending
WHERE (1::bigint << (key & 63)::integer) & $1::bigint <> 0
ORDER BY event_id
LIMIT $2::bigint
