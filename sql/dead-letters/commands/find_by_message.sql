-- find_by_message: the dead letters of a message, the latest first, and who returned or discarded
-- each
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
           'settled_by', (
               SELECT actor
               FROM dead_letters_audit AS entry
               WHERE entry.dead_letter_id = letter.id AND entry.action IN ('return', 'discard')
               ORDER BY entry.id DESC
               LIMIT 1
           )
       )::text
FROM dead_letters AS letter
WHERE message_id = $1::text
ORDER BY id DESC
LIMIT $2::bigint
