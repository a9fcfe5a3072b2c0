-- find_event_states: those of some events that are in the outbox: when each was published, and
-- whether it is held back
-- $1: event_ids
SELECT event_id, to_json(published_at) #>> '{}' AS published_at, coalesce(next_attempt_at > now(), false) AS held_back
FROM {outbox}
WHERE event_id = ANY ($1::uuid[])
