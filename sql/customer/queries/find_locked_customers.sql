-- find_locked_customers: those of some customers whose rows somebody else has locked at this moment
-- $1: their ids
WITH free AS MATERIALIZED (
    SELECT id FROM customers WHERE id = ANY ($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id FROM customers WHERE id = ANY ($1::uuid[]) EXCEPT SELECT id FROM free
