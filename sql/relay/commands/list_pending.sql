-- list_pending: pending events, the oldest first, with the event of their aggregate that holds them
-- back
-- $1: the conditions; $2: only stuck ones; $3: at most how many; $4: whether a failed event holds
-- back the later ones of its aggregate; $5: whether a stuck one does; $6: only these ids, NULL: any
WITH listed AS MATERIALIZED (
    SELECT id, event_id, aggregate_type, aggregate_id, event_type, created_at, published_at, attempts, next_attempt_at, last_error{cause_columns},
           hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key
    FROM {outbox}
    WHERE published_at IS NULL
      AND (NOT $2::boolean OR next_attempt_at = 'infinity' AND attempts > 0)
      AND {matches}
      AND {matches_cause}
      AND ($6::bigint[] IS NULL OR id = ANY ($6))
    ORDER BY id
    LIMIT $3::bigint
),
-- The first failed event of each listed aggregate, from the index of failed events.
ahead AS MATERIALIZED (
    SELECT DISTINCT ON (key) key, id, event_id
    FROM (
        SELECT hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key, id, event_id
        FROM {outbox}
        WHERE $4::boolean
          AND published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND attempts > 0
          AND hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) = ANY (ARRAY(SELECT DISTINCT key FROM listed))
          AND ($5::boolean OR next_attempt_at < 'infinity')
    ) AS failed
    ORDER BY key, id
)
SELECT json_build_object(
           'id', listed.id,
           'event_id', listed.event_id,
           'aggregate_type', aggregate_type,
           'aggregate_id', aggregate_id,
           'event_type', event_type,
           'state', CASE
               WHEN next_attempt_at = 'infinity' THEN CASE WHEN attempts > 0 THEN 'stuck' ELSE 'parked' END
               WHEN next_attempt_at > now() THEN CASE WHEN attempts > 0 THEN 'waiting' ELSE 'scheduled' END
               WHEN ahead.id IS NOT NULL THEN 'behind'
               ELSE 'ready'
           END,
           'waits_behind', ahead.event_id,
           'waits_behind_id', ahead.id,
           'created_at', created_at,
           'age_seconds', CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision END,
           'published_at', published_at,
           'attempts', attempts,
           'next_attempt_at', next_attempt_at,
           'last_error', last_error{cause_members}
       )::text
FROM listed
LEFT JOIN ahead ON ahead.key = listed.key AND ahead.id < listed.id
ORDER BY listed.id
