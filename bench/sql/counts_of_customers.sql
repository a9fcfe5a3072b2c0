-- counts_of_customers: the customers' counts, in the order of their numbers
SELECT orders_count FROM customers ORDER BY id
