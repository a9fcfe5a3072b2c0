-- probe_marking: whether this session may mark any event at all; changes nothing
UPDATE {outbox} SET published_at = published_at, attempts = attempts, next_attempt_at = next_attempt_at, last_error = last_error
WHERE false
