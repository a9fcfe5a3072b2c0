-- find_states: which of some events are there, and when each was published, if it was
-- $1: event_ids
SELECT event_id, to_json(published_at) #>> '{}' AS published_at
FROM {outbox}
WHERE event_id = ANY ($1::uuid[])
