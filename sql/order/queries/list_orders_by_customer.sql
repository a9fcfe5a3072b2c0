-- list_orders_by_customer: a page of a customer's orders in the statuses $4, newest first
-- A page of each status is read in index order, and the newest of these orders are returned. NULLS
-- LAST matches the index orders_by_customer_and_status and no other.
SELECT page.*
FROM unnest($4::text[]) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT id, customer_public_id, product_name, quantity, price, delivery_address, orders.status, created_at, updated_at
    FROM orders
    WHERE customer_public_id = $3 AND orders.status = wanted.status AND id < $1
    ORDER BY id DESC NULLS LAST
    LIMIT $2
) AS page
ORDER BY page.id DESC
LIMIT $2
