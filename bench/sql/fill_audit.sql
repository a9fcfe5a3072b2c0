-- fill_audit: adds what people did to events of the outbox, 100 in each operation
-- $1: how many
INSERT INTO outbox_audit (actor, action, event_id, operation_id)
SELECT (ARRAY['alice', 'bob', 'carol'])[1 + n % 3],
       'retry',
       lpad(to_hex(n), 32, '0')::uuid,
       lpad(to_hex(n / 100), 32, '0')::uuid
FROM generate_series(1, $1::bigint) AS n
