-- Drops an index that nothing reads: since 0.2.0 a customer's orders are read by
-- orders_by_customer_and_status. Programs of 0.1.0 read them by that one too, and sort.
SET LOCAL lock_timeout = '5s';

DROP INDEX IF EXISTS orders_by_customer;
