-- settle_failed: notes failed attempts, when to try again and why the last one failed; returns
-- those that it did not note, and why
-- $1: ids; $2: event_ids; $3: reasons; $4: seconds until the next attempt, NULL for stuck; $5: the
-- failed attempts that were noted when they were loaded; $6: kinds; $7: fingerprints of the reasons
WITH failure AS MATERIALIZED (
    SELECT *
    FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::double precision[], $5::integer[], $6::text[], $7::text[])
        AS failure (id, event_id, reason, delay_seconds, attempts, kind, fingerprint)
),
free AS MATERIALIZED (
    -- What somebody has locked is left out instead of waited for. A foreign-key check (FOR KEY
    -- SHARE) is no hindrance.
    SELECT outbox.id
    FROM failure
    JOIN {outbox} AS outbox ON outbox.id = failure.id
    WHERE outbox.event_id = failure.event_id
      -- An attempt that another relay has noted since is its affair: it holds back those behind the
      -- event until it has tried again.
      AND GREATEST(coalesce(outbox.attempts, 0), 0) = failure.attempts
      -- Put so that no index of pending events fits: one that has the id in second place would be
      -- read as a whole for each id.
      AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
    FOR NO KEY UPDATE OF outbox SKIP LOCKED
),
settled AS (
    UPDATE {outbox} AS outbox
    SET attempts = GREATEST(LEAST(outbox.attempts, 2147483646), 0) + 1,
        last_error = failure.reason,
        {set_cause}
        next_attempt_at = CASE
            WHEN failure.delay_seconds IS NULL THEN 'infinity'
            ELSE now() + failure.delay_seconds * interval '1 second'
        END
    FROM failure
    -- The array besides, so that no plan reads all that is pending.
    WHERE outbox.id = ANY (ARRAY(SELECT id FROM free))
      AND outbox.id = failure.id
      AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
    RETURNING outbox.id
),
unsettled AS (
    SELECT id FROM failure EXCEPT SELECT id FROM settled
)
SELECT unsettled.id,
       -- In the snapshot that all parts of the statement share.
       CASE
           WHEN NOT EXISTS (
               SELECT
               FROM failure
               JOIN {outbox} AS outbox ON outbox.id = failure.id
               WHERE failure.id = unsettled.id
                 AND outbox.event_id = failure.event_id
                 AND GREATEST(coalesce(outbox.attempts, 0), 0) = failure.attempts
                 AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
           ) THEN 'gone'
           WHEN unsettled.id = ANY (ARRAY(SELECT id FROM free)) THEN 'unchanged'
           ELSE 'locked'
       END AS answer
FROM unsettled
