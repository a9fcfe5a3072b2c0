-- has_customers: whether the table holds any customer
SELECT (SELECT id FROM customers ORDER BY id LIMIT 1) IS NOT NULL
