-- retry_events: makes events due that are held back and not locked, and adds audit rows; returns
-- their event_ids and the ids of their audit rows
-- $1: event_ids; $2: actor; $3: reason
WITH held_back AS MATERIALIZED (
    SELECT id, event_id, attempts, next_attempt_at, last_error
    FROM {outbox}
    WHERE event_id = ANY ($1::uuid[]) AND published_at IS NULL AND next_attempt_at > now()
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
),
due AS (
    UPDATE {outbox} AS event
    SET next_attempt_at = now()
    FROM held_back
    WHERE event.id = held_back.id
    RETURNING held_back.*
)
INSERT INTO {audit} (actor, action, reason, event_id, detail)
SELECT $2::text,
       'retry',
       $3::text,
       event_id,
       json_build_object('attempts', attempts, 'next_attempt_at', next_attempt_at, 'last_error', last_error)
FROM due
ORDER BY id
RETURNING event_id, id
