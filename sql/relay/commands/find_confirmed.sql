-- find_confirmed: those of some events that the broker has confirmed, and whose rows can't say so for now
-- $1: event_ids
SELECT event_id FROM {unsettled} WHERE event_id = ANY ($1::uuid[]) AND outcome = 'published'
