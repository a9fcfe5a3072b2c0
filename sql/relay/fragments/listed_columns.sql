-- listed_columns: what the commands show of an event, and the key of its aggregate while it is
-- pending
id, event_id, aggregate_type, aggregate_id, event_type, created_at, published_at, attempts, next_attempt_at, last_error{cause_columns},
CASE
    WHEN published_at IS NULL THEN hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0))
END AS key
