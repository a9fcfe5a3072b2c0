-- next_group: the group after `seen` in the index by cause, found by one index probe however large
-- the groups are
SELECT queue, error_kind, fingerprint, event_type
FROM dead_letters
WHERE state = 'open'
  AND (queue, error_kind, fingerprint, event_type) > (seen.queue, seen.error_kind, seen.fingerprint, seen.event_type)
ORDER BY queue, error_kind, fingerprint, event_type
LIMIT 1
