-- forget_unsettled: takes back the notes on events whose rows say by now what became of them
-- $1: event_ids
DELETE FROM {unsettled} WHERE event_id = ANY ($1::uuid[])
