-- find_unsettled_published: those of some events that the broker has confirmed although their rows
-- are pending
-- $1: event_ids
SELECT event_id FROM {unsettled} WHERE event_id = ANY ($1::uuid[]) AND outcome = 'published'
