-- lock_customers: the customers of a batch, locked in one order everywhere, so that two consumers never wait for each other
SELECT id FROM customers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
