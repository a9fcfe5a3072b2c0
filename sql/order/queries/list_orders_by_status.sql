-- list_orders_by_status: a page of the orders in a status, newest first, from $1 on
-- Ordered and compared as the index is, so that no other index fits: all orders in this status may
-- be old, behind many others. The planner estimates a row comparison by the first column alone;
-- with "<" it would expect no orders in this status.
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM orders
WHERE (status, id) <= ($3, $1) AND status >= $3
ORDER BY status DESC, id DESC
LIMIT $2
