-- is_settled: whether a dead letter of the queue `named` is in a state, and was settled before a place
-- $1: the conditions; $2: the state; $5, $6: the id and the time of the place, NULL: any
state IN ('returned', 'discarded')
AND queue = named.queue
AND state = $2::text
AND ($1::text::jsonb ->> 'message_id' IS NULL OR message_id = $1::text::jsonb ->> 'message_id')
AND ($5::bigint IS NULL OR (settled_at, id) < ($6::text::timestamptz, $5))
