-- end_session: deletes a session that has acknowledged all that it stored
-- $1: the session
DELETE FROM dead_letters_sessions WHERE id = $1::uuid
