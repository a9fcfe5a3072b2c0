-- name: a page of a customer's orders in a status, newest first
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM orders
WHERE id < $1 AND customer_public_id = $3 AND status = $4
ORDER BY id DESC
LIMIT $2
