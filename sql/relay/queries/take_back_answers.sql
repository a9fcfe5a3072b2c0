-- take_back_answers: gives up the locks by which commands were answered
-- $1: what was answered, as the lock's number; $2: the askers
SELECT pg_advisory_unlock_shared(1869968384 + number, asker) FROM unnest($1::integer[], $2::integer[]) AS answer (number, asker)
