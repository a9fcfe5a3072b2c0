-- find_known: the latest dead letter of each of some messages in each queue: whether nobody has
-- returned it, and how many seconds ago it was returned
-- $1: message_ids
SELECT DISTINCT ON (message_id, queue)
       message_id,
       queue,
       state IN ('open', 'discarded'),
       CASE WHEN state = 'returned' THEN extract(epoch FROM now() - settled_at)::double precision END
FROM dead_letters
WHERE message_id = ANY ($1::text[])
ORDER BY message_id, queue, id DESC
