-- list_pauses: the active pauses, the oldest first
SELECT {pause_json}
FROM {pauses}
WHERE until IS NULL OR until > now()
ORDER BY id
