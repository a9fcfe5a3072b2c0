-- find_by_cause: the ids of the oldest failed events of some causes; of each cause and type no more
-- rows are read than are asked for
-- $1: the conditions, a kind or a fingerprint among them; $2: only stuck ones; $3: at most how many
WITH RECURSIVE grouped AS (
    SELECT first.*
    FROM unnest('{returned,nacked,refused,unpublishable}'::text[]) AS of (kind)
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255) AS event_type
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND error_kind = of.kind
          AND error_fingerprint IS NOT NULL
          AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR error_fingerprint = $1::text::jsonb ->> 'fingerprint')
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS first
    WHERE $1::text::jsonb ->> 'kind' IS NULL OR of.kind = $1::text::jsonb ->> 'kind'
    UNION ALL
    SELECT next.*
    FROM grouped
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255)
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND error_kind = grouped.error_kind
          AND (error_fingerprint, left(outbox.event_type, 255)) > (grouped.error_fingerprint, grouped.event_type)
          AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR error_fingerprint = $1::text::jsonb ->> 'fingerprint')
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS next
)
SELECT event.id
FROM grouped
CROSS JOIN LATERAL (
    SELECT id
    FROM {outbox} AS outbox
    WHERE {is_in_group}
      AND (NOT $2::boolean OR next_attempt_at = 'infinity')
      AND {matches}
    ORDER BY id
    LIMIT $3::bigint
) AS event
ORDER BY event.id
LIMIT $3::bigint
