-- next_row: the row behind an id
-- $1: the id
SELECT id, event_id FROM {outbox} WHERE id > $1::bigint ORDER BY id LIMIT 1
