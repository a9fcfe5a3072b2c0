-- find_orders: orders by id
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM orders
WHERE id = ANY ($1)
