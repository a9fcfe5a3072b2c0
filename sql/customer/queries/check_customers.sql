-- check_customers: whether there is any customer
SELECT EXISTS (SELECT id FROM customers)
