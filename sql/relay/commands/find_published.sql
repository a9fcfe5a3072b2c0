-- find_published: those of some events that are published
-- $1: event_ids
SELECT event_id FROM {outbox} WHERE event_id = ANY ($1::uuid[]) AND published_at IS NOT NULL
