-- find_by_cause: the ids of the oldest open dead letters of some causes or types; of each group no
-- more rows are read than are asked for, without conditions besides queue, kind, cause and type
-- $1: the conditions; $2: at most how many
WITH RECURSIVE seen AS (
    (
        SELECT queue, error_kind, fingerprint, event_type
        FROM dead_letters
        WHERE state = 'open'
        ORDER BY queue, error_kind, fingerprint, event_type
        LIMIT 1
    )
    UNION ALL
    SELECT next.* FROM seen CROSS JOIN LATERAL ({next_group}) AS next
),
grouped AS MATERIALIZED (
    SELECT *
    FROM seen
    WHERE ($1::text::jsonb ->> 'queue' IS NULL OR queue = $1::text::jsonb ->> 'queue')
      AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR fingerprint = $1::text::jsonb ->> 'fingerprint')
      AND ($1::text::jsonb ->> 'kind' IS NULL OR error_kind = $1::text::jsonb ->> 'kind')
      AND ($1::text::jsonb ->> 'type' IS NULL OR event_type = $1::text::jsonb ->> 'type')
)
SELECT letter.id
FROM grouped
CROSS JOIN LATERAL (
    SELECT id
    FROM dead_letters
    WHERE {is_in_group} AND {matches}
    ORDER BY queue, error_kind, fingerprint, event_type, id
    LIMIT $2::bigint
) AS letter
ORDER BY letter.id
LIMIT $2::bigint
