-- identify: what is needed to note of pending events that their contents can't be read; touches
-- none of the contents
-- $1: ids
SELECT id, event_id, attempts
FROM {outbox}
WHERE id = ANY ($1::bigint[])
  -- Put so that no index of pending events fits: one that has the id in second place would be read
  -- as a whole for each id.
  AND CASE WHEN published_at IS NULL THEN true ELSE false END
