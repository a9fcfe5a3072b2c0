-- get_customer: a customer by id
SELECT id, name, address, orders_count FROM customers WHERE id = $1
