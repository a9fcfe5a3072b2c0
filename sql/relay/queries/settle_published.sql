-- settle_published: marks events as published that the broker has confirmed; returns those that it
-- did not mark, and why
-- $1: their ids; $2: their event_ids, as a server that lost the latest rows gives their ids to
-- other events; $3: the failed attempts that were noted when they were loaded
WITH confirmed AS MATERIALIZED (
    SELECT id, event_id, attempts
    FROM unnest($1::bigint[], $2::uuid[], $3::integer[]) AS confirmed (id, event_id, attempts)
),
free AS MATERIALIZED (
    -- What somebody has locked is left out instead of waited for. A foreign-key check (FOR KEY
    -- SHARE) is no hindrance.
    SELECT outbox.id
    FROM confirmed
    JOIN {outbox} AS outbox ON outbox.id = confirmed.id
    WHERE outbox.event_id = confirmed.event_id
      -- An attempt that another relay has noted since is its affair: it holds back those behind the
      -- event until it has tried again.
      AND GREATEST(coalesce(outbox.attempts, 0), 0) = confirmed.attempts
      -- Put so that no index of pending events fits: one that has the id in second place would be
      -- read as a whole for each id.
      AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
    FOR NO KEY UPDATE OF outbox SKIP LOCKED
),
settled AS (
    UPDATE {outbox} AS outbox
    SET published_at = now(), next_attempt_at = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM free))
      AND CASE WHEN published_at IS NULL THEN true ELSE false END
    RETURNING id, published_at
),
unsettled AS (
    -- A trigger may take the mark back: the event would be sent again, and again.
    SELECT id FROM confirmed EXCEPT SELECT id FROM settled WHERE published_at IS NOT NULL
)
SELECT unsettled.id,
       -- In the snapshot that all parts of the statement share.
       CASE
           WHEN NOT EXISTS (
               SELECT
               FROM confirmed
               JOIN {outbox} AS outbox ON outbox.id = confirmed.id
               WHERE confirmed.id = unsettled.id
                 AND outbox.event_id = confirmed.event_id
                 AND GREATEST(coalesce(outbox.attempts, 0), 0) = confirmed.attempts
                 AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
           ) THEN 'gone'
           WHEN unsettled.id = ANY (ARRAY(SELECT id FROM free)) THEN 'unchanged'
           ELSE 'locked'
       END AS answer
FROM unsettled
