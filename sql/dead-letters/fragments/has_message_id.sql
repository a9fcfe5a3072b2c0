-- has_message_id: whether a dead letter meets the condition on message_id, for which an index is
-- $1: the conditions as a JSON object of text; one that is left out admits any
($1::text::jsonb ->> 'message_id' IS NULL OR message_id = $1::text::jsonb ->> 'message_id')
