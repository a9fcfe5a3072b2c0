-- find_locked_customers: which of these customers' rows another session has locked
-- $1: customer ids
WITH free AS MATERIALIZED (
    SELECT id FROM customers WHERE id = ANY ($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id FROM customers WHERE id = ANY ($1::uuid[]) EXCEPT SELECT id FROM free
