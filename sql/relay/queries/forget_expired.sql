-- forget_expired: takes back the notes on expired events that are deleted by now
DELETE FROM {unsettled} AS noted
WHERE outcome = 'expired' AND NOT EXISTS (SELECT FROM {outbox} AS outbox WHERE outbox.event_id = noted.event_id)
