-- stuck: what no relay tries again by itself, and why   (order database)
-- To try one again:  UPDATE outbox SET next_attempt_at = now() WHERE event_id = '…' AND published_at IS NULL;
SELECT id, event_id, event_type, aggregate_id, date_trunc('seconds', age) AS age, attempts, last_error
FROM outbox_stuck
LIMIT 50;
