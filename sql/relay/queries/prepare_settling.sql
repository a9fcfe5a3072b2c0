-- prepare_settling: limits of the session that notes outcomes
-- A table that somebody has locked, or a trigger that takes for ever, is found out soon, while other events wait to be noted.
SET statement_timeout = '5s';
SET lock_timeout = '1s';
