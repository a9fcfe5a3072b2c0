-- check_counts: the number of counted events, the minimum and maximum count of a customer, and
-- the number of recorded events besides the history
SELECT sum(orders_count)::bigint AS counted,
       min(orders_count) AS least,
       max(orders_count) AS greatest,
       (SELECT count(*) FROM processed_events) - $1::bigint AS remembered
FROM customers
