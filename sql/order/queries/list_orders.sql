-- list_orders: a page of orders, newest first
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM orders
WHERE id < $1
ORDER BY id DESC
LIMIT $2
