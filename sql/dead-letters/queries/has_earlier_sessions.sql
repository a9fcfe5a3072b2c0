-- has_earlier_sessions: whether an earlier session ended without end_session, as in a crash
-- $1: the dead-letter queue; $2: the session that goes on
SELECT EXISTS (SELECT FROM dead_letters_sessions WHERE queue = $1::text AND id <> $2::uuid)
