-- find_ids: the ids of events
-- $1: event_ids
SELECT id, event_id FROM {outbox} WHERE event_id = ANY ($1::uuid[])
