-- is_indexed: whether a dead letter that is not settled meets the conditions for which indexes are
-- $1: the conditions as a JSON object of text; one that is left out admits any
($1::text::jsonb ->> 'queue' IS NULL OR queue = $1::text::jsonb ->> 'queue')
AND ($1::text::jsonb ->> 'message_id' IS NULL OR message_id = $1::text::jsonb ->> 'message_id')
