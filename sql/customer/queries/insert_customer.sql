-- insert_customer: inserts a customer without orders
INSERT INTO customers (id, name, address) VALUES ($1, $2, $3)
RETURNING id, name, address, orders_count
