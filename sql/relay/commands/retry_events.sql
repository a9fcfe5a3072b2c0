-- retry_events: makes events due that are held back and not locked, and adds audit rows; returns
-- their event_ids and the ids of their audit rows
-- $1: the conditions that they must still meet; $2: ids; $3: event_ids, as a server that lost the
-- latest rows gives their ids to other events; $4: only stuck ones; $5: actor; $6: reason; $7: the
-- operation
WITH operation AS (SELECT $7::uuid AS id),
held_back AS MATERIALIZED (
    SELECT id, event_id, attempts, next_attempt_at, last_error
    FROM {outbox}
    WHERE id = ANY ($2::bigint[])
      AND event_id = ANY ($3::uuid[])
      AND CASE
          -- Put so that no index fits but that of ids: statistics from before a burst would have
          -- all failed events read for each batch.
          WHEN published_at IS NULL
              AND next_attempt_at > now()
              AND (NOT $4::boolean OR (next_attempt_at = 'infinity' AND attempts > 0))
              AND {matches}
              AND {matches_cause}
          THEN true
          ELSE false
      END
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
INSERT INTO {audit} (actor, action, reason, event_id, detail{operation_column})
SELECT $5::text,
       'retry',
       $6::text,
       event_id,
       json_build_object('attempts', attempts, 'next_attempt_at', next_attempt_at, 'last_error', last_error){operation_value}
FROM due
ORDER BY id
RETURNING event_id, id
