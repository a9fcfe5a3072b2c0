-- begin_session: notes that a session of a collector begins; returns its id
-- $1: the dead-letter queue
INSERT INTO dead_letters_sessions (queue) VALUES ($1::text) RETURNING id
