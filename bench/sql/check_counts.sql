-- name: how many events were counted, the least and the greatest count of a customer, and how many events are remembered above the history
SELECT sum(orders_count)::bigint AS counted,
       min(orders_count) AS least,
       max(orders_count) AS greatest,
       (SELECT count(*) FROM processed_events) - $1::bigint AS remembered
FROM customers
