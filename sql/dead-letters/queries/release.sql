-- release: notes that deliveries will be acknowledged: from then on their rows are no more those of
-- messages that are delivered again. Changes no row if another session has taken over
-- $1: the session; $2: up to which delivery
UPDATE dead_letters_sessions SET acknowledged_up_to = $2::bigint WHERE id = $1::uuid
