-- settle_deleted: deletes events that the broker has confirmed, where published events are not kept; returns their ids
-- $1: their ids; $2: their event_ids, as a server that lost the latest rows gives their ids to other events
DELETE FROM {outbox}
WHERE id = ANY (ARRAY(
        SELECT confirmed.id
        FROM unnest($1::bigint[], $2::uuid[]) AS confirmed (id, event_id)
        WHERE confirmed.event_id = (SELECT same.event_id FROM {outbox} AS same WHERE same.id = confirmed.id)
    ))
    -- Put so that no index of pending events fits: one that has the id in second place would be read as a whole for each id.
    AND CASE WHEN published_at IS NULL THEN true ELSE false END
RETURNING id
