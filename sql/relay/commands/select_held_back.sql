-- select_held_back: the ids and event_ids of failed events that match: those that wait for their
-- next attempt, are due again, or are stuck
-- $1: the conditions; $2: only stuck ones; $3: at most how many
SELECT id, event_id
FROM {outbox}
WHERE published_at IS NULL
  AND next_attempt_at IS NOT NULL
  -- Without attempts it is scheduled or parked: a person retries it by its event_id.
  AND attempts > 0
  AND (NOT $2::boolean OR next_attempt_at = 'infinity')
  AND {matches}
  AND {matches_cause}
LIMIT $3::bigint
