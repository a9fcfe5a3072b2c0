-- settle_published: marks events as published that the broker has confirmed; returns the ids of those that were pending
-- $1: their ids; $2: their event_ids, as a server that lost the latest rows gives their ids to other events
UPDATE {outbox} AS outbox
SET published_at = now(), next_attempt_at = NULL
WHERE id = ANY (ARRAY(
        SELECT confirmed.id
        FROM unnest($1::bigint[], $2::uuid[]) AS confirmed (id, event_id)
        WHERE confirmed.event_id = (SELECT same.event_id FROM {outbox} AS same WHERE same.id = confirmed.id)
    ))
    -- Put so that no index of pending events fits: one that has the id in second place would be read as a whole for each id.
    AND CASE WHEN published_at IS NULL THEN true ELSE false END
RETURNING id
