-- forget_gone: takes back the notes on confirmed events that somebody else settled or deleted,
-- while no relay looked after them
DELETE FROM {unsettled}
WHERE event_id IN (
    SELECT noted.event_id
    FROM {unsettled} AS noted
    WHERE noted.outcome = 'published'
      AND NOT EXISTS (
          SELECT FROM {outbox} AS outbox
          WHERE outbox.id = noted.id AND outbox.event_id = noted.event_id
            AND CASE WHEN outbox.published_at IS NULL THEN true ELSE false END
      )
    -- What somebody has locked is left for the next time.
    FOR UPDATE OF noted SKIP LOCKED
)
