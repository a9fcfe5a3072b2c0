-- find_known: which of some messages are dead letters, of which queue
-- $1: message_ids
SELECT DISTINCT message_id, queue FROM dead_letters WHERE message_id = ANY ($1::text[])
