-- find_by_message: the latest dead letter of a message in each queue, and who returned or discarded
-- it
-- $1: message_id; $2: at most how many
SELECT json_build_object(
           'id', id,
           'queue', queue,
           'state', state,
           'error_kind', error_kind,
           'reason', reason,
           'tries', tries,
           'returns', returns,
           'collected_at', collected_at,
           'settled_at', settled_at,
           'settled_age_seconds', extract(epoch FROM now() - settled_at)::double precision,
           'settled_by', (
               SELECT actor
               FROM dead_letters_audit AS entry
               WHERE entry.dead_letter_id = letter.id AND entry.action IN ('return', 'discard')
               ORDER BY entry.id DESC
               LIMIT 1
           )
       )::text
FROM (
    SELECT DISTINCT ON (queue) *
    FROM dead_letters
    WHERE message_id = $1::text
    ORDER BY queue, id DESC
) AS letter
ORDER BY queue
LIMIT $2::bigint
