-- ago: a time in the past by the database's clock, which set the events' times
-- $1: how many seconds ago
SELECT now() - $1::double precision * interval '1 second'
