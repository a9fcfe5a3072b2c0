-- prepare_settle_session: limits of the session that settles, beside those of every session
-- What it waits for is somebody else's lock on a row: the other rows are settled without that one.
SET statement_timeout = '5s';
SET lock_timeout = '1s';
