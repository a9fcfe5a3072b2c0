-- find_questions: the events that commands ask about, and how to address the answers
-- An answer is addressed to the transaction that asks, so that it is never taken for one to a later
-- question.
-- $1: how many at the most
SELECT hashtext(virtualtransaction) AS asker, min(objid::bigint) FILTER (WHERE number = 71) AS event
FROM (
    SELECT pid, virtualtransaction, objid, classid::bigint - 1869968384 AS number
    FROM pg_locks
    WHERE locktype = 'advisory'
      AND objsubid = 2
      AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint IN (1869968384 + 70, 1869968384 + 71)
) AS lock
GROUP BY pid, virtualtransaction
HAVING bool_or(number = 70 AND objid = '{outbox}'::regclass) AND count(*) FILTER (WHERE number = 71) = 1
ORDER BY pid
LIMIT $1::bigint
