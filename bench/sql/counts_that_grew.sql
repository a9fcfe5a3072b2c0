-- counts_that_grew: those of these customers whose count has increased
-- $1: their numbers from 0; $2: their ids; $3: the counts that they had
SELECT given.number
FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) AS given (number, id, had) JOIN customers USING (id)
WHERE orders_count > had
