-- A customer's orders, newest first, all of them or those in one status. It replaces orders_by_customer, which goes with the next
-- migration of orders: programs of the release before still read by it while they run beside these.
-- On a table with many millions of orders, make it beforehand, while orders are accepted: the same statement with CREATE INDEX
-- CONCURRENTLY, and this one finds it done.
-- The order of ids is one that no other index has ("NULLS FIRST", of which there are none): so a list that asks for it is read from this
-- index, and no statistics can talk the planner into walking through everybody's orders, newest first, until enough of one customer's have
-- come.
SET LOCAL lock_timeout = '5s';

CREATE INDEX IF NOT EXISTS orders_by_customer_and_status ON orders (customer_public_id, status, id NULLS FIRST);
