-- give_answers: answers commands that ask about events, by a lock for each
-- $1: what is answered, as the lock's number; $2: the askers, as find_questions returns them
SELECT pg_try_advisory_lock_shared(1869968384 + number, asker) FROM unnest($1::integer[], $2::integer[]) AS answer (number, asker)
