-- list_customers: a page of customers, ordered by id
-- $1: the last id of the page before; $2: rows
SELECT id, name, address, orders_count
FROM customers
WHERE id > $1
ORDER BY id
LIMIT $2
