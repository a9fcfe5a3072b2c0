-- find_states: which of some events are there, when each was published, if it was, and whether it waits or is stuck
-- $1: event_ids
SELECT event_id, to_json(published_at) #>> '{}' AS published_at, coalesce(next_attempt_at > now(), false) AS held_back
FROM {outbox}
WHERE event_id = ANY ($1::uuid[])
