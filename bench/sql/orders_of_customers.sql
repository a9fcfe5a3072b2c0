-- orders_of_customers: the number of orders of each customer, by number
-- $1: how many customers there are
SELECT count(orders.id)
FROM generate_series(1, $1::bigint) AS customer (number)
     LEFT JOIN orders
         ON orders.customer_public_id = ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid
GROUP BY number
ORDER BY number
