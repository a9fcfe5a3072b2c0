-- poll_pending: the minimal query of a poll: pending events above the last one seen
-- $1: id of the last one seen
SELECT id, event_id FROM outbox WHERE published_at IS NULL AND id > $1::bigint ORDER BY id
