-- first_failed: the first failed event of each aggregate of the events in `listed`, from the index
-- of failed events
-- $4: whether a failed event holds back the later ones of its aggregate; $5: whether a stuck one does
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
