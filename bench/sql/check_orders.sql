-- check_orders: the numbers of orders and events besides the history, and of orders with exactly
-- one event
WITH told AS (
    SELECT aggregate_id, count(*) AS events
    FROM outbox
    WHERE created_at > now() - interval '1 day'
    GROUP BY aggregate_id
)
SELECT count(orders.id) AS orders,
       coalesce(sum(told.events), 0)::bigint AS events,
       count(*) FILTER (WHERE orders.id IS NOT NULL AND told.events = 1) AS paired
FROM (SELECT id FROM orders WHERE created_at > now() - interval '1 day') AS orders
     FULL JOIN told ON told.aggregate_id = orders.id::text
