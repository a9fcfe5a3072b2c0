-- forget_sessions: deletes earlier sessions, once all that they had not acknowledged was delivered
-- again
-- $1: the dead-letter queue; $2: the session that goes on
DELETE FROM dead_letters_sessions WHERE queue = $1::text AND id <> $2::uuid
