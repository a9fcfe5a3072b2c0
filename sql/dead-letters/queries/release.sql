-- release: notes up to which delivery the collector will acknowledge: rows up to there no longer
-- match redelivered messages. Changes no row if another session has taken over
-- $1: the session; $2: up to which delivery
UPDATE dead_letters_sessions SET acknowledged_up_to = $2::bigint WHERE id = $1::uuid
