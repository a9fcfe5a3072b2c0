-- get_customer: one customer
SELECT id, name, address, orders_count FROM customers WHERE id = $1
