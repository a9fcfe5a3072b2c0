-- settle_failed: notes failed attempts: when to try again, and why the last one failed
-- $1: ids; $2: reasons; $3: seconds until the next attempt, NULL for stuck
UPDATE outbox
SET attempts = outbox.attempts + 1,
    last_error = failure.reason,
    next_attempt_at = CASE
        WHEN failure.delay_seconds IS NULL THEN 'infinity'
        ELSE now() + failure.delay_seconds * interval '1 second'
    END
FROM unnest($1::bigint[], $2::text[], $3::double precision[]) AS failure (id, reason, delay_seconds)
WHERE outbox.id = failure.id AND outbox.published_at IS NULL
