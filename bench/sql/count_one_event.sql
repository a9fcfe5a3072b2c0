-- count_one_event: a consumer's transaction for a single message, as a pgbench script
\set customer random(1, :customers)
BEGIN;
INSERT INTO processed_events (event_id) VALUES (gen_random_uuid()) ON CONFLICT DO NOTHING;
UPDATE customers SET orders_count = orders_count + 1
WHERE id = ('00000000-0000-0000-0000-' || lpad((:customer)::text, 12, '0'))::uuid;
COMMIT;
