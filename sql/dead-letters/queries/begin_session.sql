-- begin_session: adds a collector's session; returns its id
-- $1: the dead-letter queue
INSERT INTO dead_letters_sessions (queue) VALUES ($1::text) RETURNING id
