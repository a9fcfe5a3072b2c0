-- list_events: events, the newest first; pending ones with the event of their aggregate that holds
-- them back
-- $1: the conditions; $2: only published ones; $3: at most how many; $4: whether a failed event holds
-- back the later ones of its aggregate; $5: whether a stuck one does
WITH listed AS MATERIALIZED (
    SELECT {listed_columns}
    FROM {outbox}
    WHERE (NOT $2::boolean OR published_at IS NOT NULL)
      AND {matches}
      AND {matches_cause}
    ORDER BY id DESC
    LIMIT $3::bigint
),
ahead AS MATERIALIZED ({first_failed})
SELECT {event_json}
FROM listed
LEFT JOIN ahead ON ahead.key = listed.key AND ahead.id < listed.id
ORDER BY listed.id DESC
