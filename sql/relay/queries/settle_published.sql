-- settle_published: marks events as published that the broker has confirmed
-- $1: their ids
UPDATE outbox
SET published_at = now(), next_attempt_at = NULL
WHERE id = ANY ($1::bigint[]) AND published_at IS NULL
