-- settle_failed: notes failed attempts, when to try again and why the last one failed; returns the ids of those that were pending
-- $1: ids; $2: event_ids; $3: reasons; $4: seconds until the next attempt, NULL for stuck
UPDATE {outbox} AS outbox
SET attempts = LEAST(outbox.attempts, 2147483646) + 1,
    last_error = failure.reason,
    next_attempt_at = CASE
        WHEN failure.delay_seconds IS NULL THEN 'infinity'
        ELSE now() + failure.delay_seconds * interval '1 second'
    END
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::double precision[]) AS failure (id, event_id, reason, delay_seconds)
-- The array besides, so that no plan reads all that is pending.
WHERE outbox.id = ANY ($1::bigint[])
    AND outbox.id = failure.id
    AND outbox.event_id = failure.event_id
    -- Put so that no index of pending events fits: one that has the id in second place would be read as a whole for each id.
    AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
RETURNING outbox.id
