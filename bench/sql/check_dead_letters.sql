-- check_dead_letters: rows, messages that they are of, and rows that may be second ones
SELECT count(*), count(DISTINCT message_id), count(*) FILTER (WHERE redelivered)
FROM dead_letters
