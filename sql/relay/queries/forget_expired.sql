-- forget_expired: takes back the notes on expired events that are deleted by now
DELETE FROM {unsettled}
WHERE event_id IN (
    SELECT noted.event_id
    FROM {unsettled} AS noted
    WHERE noted.outcome = 'expired'
      AND NOT EXISTS (SELECT FROM {outbox} AS outbox WHERE outbox.event_id = noted.event_id)
    -- What somebody has locked is left for the next pass.
    FOR UPDATE OF noted SKIP LOCKED
)
