-- still_pending: those of some events that are pending, whatever was noted of them
-- $1: their ids; $2: their event_ids
SELECT id FROM {outbox}
WHERE id = ANY ($1::bigint[])
  AND event_id = ANY ($2::uuid[])
  -- Put so that no index of pending events fits: one that has the id in second place would be read as a whole for each id.
  AND CASE WHEN published_at IS NULL THEN true ELSE false END
