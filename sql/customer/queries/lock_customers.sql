-- lock_customers: locks the customers of a batch, in id order, so that consumers never deadlock
-- After waiting for a lock, PostgreSQL checks the condition on the row again. With a join that is
-- one comparison; "= ANY" would search the whole array for each row.
SELECT count(*)
FROM (
    SELECT
    FROM (SELECT DISTINCT id FROM unnest($1::uuid[]) AS given (id)) AS batch
    JOIN customers USING (id)
    ORDER BY id
    FOR NO KEY UPDATE OF customers
) AS locked
