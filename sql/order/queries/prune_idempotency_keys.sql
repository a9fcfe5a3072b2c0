-- prune_idempotency_keys: deletes a batch of the keys older than 24 hours
-- An array makes the planner look the keys up one by one; it might read all keys for a join, whose
-- size it can't estimate.
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
