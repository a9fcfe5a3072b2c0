-- find_written_with: other events that the transaction of an event wrote, as far as they stand near
-- it: its neighbours with the same created_at
-- $1: event_id; $2: at most how many
SELECT neighbour.event_id
FROM {outbox} AS event
CROSS JOIN LATERAL (
    (SELECT id, event_id, created_at FROM {outbox} AS earlier WHERE earlier.id < event.id ORDER BY earlier.id DESC LIMIT $2::bigint)
    UNION ALL
    (SELECT id, event_id, created_at FROM {outbox} AS later WHERE later.id > event.id ORDER BY later.id LIMIT $2::bigint)
) AS neighbour
WHERE event.event_id = $1::uuid AND neighbour.created_at = event.created_at
ORDER BY neighbour.id
LIMIT $2::bigint
