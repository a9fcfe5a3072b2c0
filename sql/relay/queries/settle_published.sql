-- settle_published: marks events as published that the broker has confirmed; returns the ids of those that were pending
-- $1: their ids; $2: their event_ids, as a server that lost the latest rows gives their ids to other events
UPDATE {outbox} AS outbox
SET published_at = now(), next_attempt_at = NULL
WHERE id = ANY (ARRAY(
        SELECT confirmed.id
        FROM unnest($1::bigint[], $2::uuid[]) AS confirmed (id, event_id)
        WHERE confirmed.event_id = (SELECT same.event_id FROM {outbox} AS same WHERE same.id = confirmed.id)
    ))
    AND published_at IS NULL
RETURNING id
