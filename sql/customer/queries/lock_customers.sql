-- lock_customers: the customers of a batch, locked in one order everywhere, so that two consumers never wait for each other
-- Whoever has waited for a lock looks at each row once more. Joined, that is one comparison; with "= ANY" it goes through the whole array for each row.
SELECT count(*)
FROM (
    SELECT
    FROM (SELECT DISTINCT id FROM unnest($1::uuid[]) AS given (id)) AS batch
    JOIN customers USING (id)
    ORDER BY id
    FOR NO KEY UPDATE OF customers
) AS locked
