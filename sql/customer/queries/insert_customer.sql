-- insert_customer: a new customer, who has ordered nothing yet
INSERT INTO customers (id, name, address) VALUES ($1, $2, $3)
RETURNING id, name, address, orders_count
