-- list_customers: a page of customers in the order of their ids, from the one after $1 on
SELECT id, name, address, orders_count
FROM customers
WHERE id > $1
ORDER BY id
LIMIT $2
