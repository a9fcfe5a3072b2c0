-- has_earlier_sessions: whether a session before this one has not ended in order
-- $1: the dead-letter queue; $2: the session that goes on
SELECT EXISTS (SELECT FROM dead_letters_sessions WHERE queue = $1::text AND id <> $2::uuid)
