-- find_by_cause: the ids of the oldest open dead letters of some causes or types; reads at most the
-- wanted number of rows from each group
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
    WHERE {matches_group}
)
SELECT letter.id
FROM grouped
CROSS JOIN LATERAL (
    SELECT id
    FROM dead_letters
    WHERE {is_in_group} AND {matches_letter}
    ORDER BY queue, error_kind, fingerprint, event_type, id
    LIMIT $2::bigint
) AS letter
ORDER BY letter.id
LIMIT $2::bigint
