-- check_customers: whether there is any customer
SELECT (SELECT id FROM customers ORDER BY id LIMIT 1) IS NOT NULL
