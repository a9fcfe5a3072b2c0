-- name: forgets a batch of the keys older than 24 hours
-- They are looked up one by one: joined, all keys would be read where the planner does not know how few a batch is.
DELETE FROM idempotency_keys
WHERE key = ANY (
    ARRAY(
        SELECT key
        FROM idempotency_keys
        WHERE created_at < now() - interval '24 hours'
        ORDER BY created_at
        LIMIT $1
        FOR UPDATE SKIP LOCKED
    )
)
