-- select_pending: the ids and event_ids of pending events that match
-- $1: the conditions; $2: only stuck ones; $3: at most how many
SELECT id, event_id
FROM {outbox}
WHERE published_at IS NULL
  AND (NOT $2::boolean OR (next_attempt_at = 'infinity' AND attempts > 0))
  AND {matches}
  AND {matches_cause}
LIMIT $3::bigint
