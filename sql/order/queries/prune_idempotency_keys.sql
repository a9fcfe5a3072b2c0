-- name: forgets a batch of the keys older than 24 hours
DELETE FROM idempotency_keys
WHERE key IN (
    SELECT key
    FROM idempotency_keys
    WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
