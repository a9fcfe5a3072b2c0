-- retry_matching: makes events due that match, are held back and are not locked, and adds audit
-- rows; returns how many, the highest id that was read, the latest audit row, and the event_ids of
-- locked events
-- $1: above which id; $2: at most how many; $3: only stuck ones; $4: aggregate_id; $5: event_type;
-- NULL: any; $6: actor; $7: reason
WITH wanted AS MATERIALIZED (
    SELECT id, event_id
    FROM {outbox}
    WHERE id > $1::bigint
      AND published_at IS NULL
      AND next_attempt_at > now()
      AND (NOT $3::boolean OR next_attempt_at = 'infinity')
      AND ($4::text IS NULL OR aggregate_id = $4)
      AND ($5::text IS NULL OR event_type = $5)
    ORDER BY id
    LIMIT $2::bigint
),
held_back AS MATERIALIZED (
    SELECT id, event_id, attempts, next_attempt_at, last_error
    FROM {outbox}
    WHERE id = ANY (ARRAY(SELECT id FROM wanted)) AND published_at IS NULL AND next_attempt_at > now()
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
),
due AS (
    UPDATE {outbox} AS event
    SET next_attempt_at = now()
    FROM held_back
    WHERE event.id = held_back.id
    RETURNING held_back.*
),
noted AS (
    INSERT INTO {audit} (actor, action, reason, event_id, detail)
    SELECT $6::text,
           'retry',
           $7::text,
           event_id,
           json_build_object('attempts', attempts, 'next_attempt_at', next_attempt_at, 'last_error', last_error)
    FROM due
    ORDER BY id
    RETURNING id
)
SELECT (SELECT count(*) FROM due),
       (SELECT max(id) FROM wanted),
       (SELECT max(id) FROM noted),
       ARRAY(SELECT event_id FROM wanted WHERE id NOT IN (SELECT id FROM due) ORDER BY id)
