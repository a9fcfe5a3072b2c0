-- settle_deleted: deletes events that the broker has confirmed, where published events are not kept; returns their ids
-- $1: their ids; $2: their event_ids, as a server that lost the latest rows gives their ids to other events
DELETE FROM {outbox}
WHERE id = ANY (ARRAY(
        SELECT confirmed.id
        FROM unnest($1::bigint[], $2::uuid[]) AS confirmed (id, event_id)
        WHERE confirmed.event_id = (SELECT same.event_id FROM {outbox} AS same WHERE same.id = confirmed.id)
    ))
    AND published_at IS NULL
RETURNING id
