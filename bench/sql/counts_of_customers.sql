-- counts_of_customers: the customers' counts, by number
SELECT orders_count FROM customers ORDER BY id
