-- add_random_event: the statement of pgbench's clients, each in its own transaction
INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
VALUES ('order', gen_random_uuid()::text, 'order.created', '{"product_name": "a bicycle bell", "quantity": 1, "price": "12.50"}');
