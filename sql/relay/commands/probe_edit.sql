-- probe_edit: fails unless the role may edit events; changes nothing
UPDATE {outbox} SET event_type = event_type, headers = headers, payload = payload, next_attempt_at = next_attempt_at WHERE false
