-- name: a page of the orders in a status, newest first, from $1 on
-- Ordered and compared as the index is, so that nothing else fits: orders in this status may all be old ones, behind many others. The
-- planner takes a comparison of rows for one of their first columns; with "<" it would think that there are no orders in this status.
SELECT id, customer_public_id, product_name, quantity, price, delivery_address, status, created_at, updated_at
FROM orders
WHERE (status, id) <= ($3, $1) AND status >= $3
ORDER BY status DESC, id DESC
LIMIT $2
