-- find_matching: those of some events that still meet the conditions of a change
-- $1: the conditions; $2: event_ids; $3: only stuck ones; $4: only those that are held back
SELECT event_id
FROM {outbox}
WHERE event_id = ANY ($2::uuid[])
  AND CASE
      WHEN published_at IS NULL
          AND (NOT $4::boolean OR next_attempt_at > now())
          AND (NOT $3::boolean OR (next_attempt_at = 'infinity' AND attempts > 0))
          AND {matches}
          AND {matches_cause}
      THEN true
      ELSE false
  END
