-- group_unsettled: the events that are published and can't be marked by what the database said, each
-- with the oldest as an example, the most frequent first
-- $1: at most how many
SELECT json_build_object(
           'events', count(*),
           'event_id', (array_agg(event_id ORDER BY confirmed_at, event_id))[1],
           'reason', reason
       )::text
FROM {unsettled}
WHERE outcome = 'published'
GROUP BY reason
ORDER BY count(*) DESC, reason
LIMIT $1::bigint
