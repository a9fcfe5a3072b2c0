-- list_failures: failed events by cause and type; of each group no more rows are read than are
-- counted
-- $1: at most how many groups; $2: at which sum counting stops, shared evenly by the groups
WITH RECURSIVE cause AS (
    -- From one group to the next by the index, however many events are between.
    (
        SELECT error_kind, error_fingerprint, left(event_type, 255) AS event_type
        FROM {outbox}
        WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND error_kind IS NOT NULL AND error_fingerprint IS NOT NULL
        ORDER BY error_kind, error_fingerprint, left(event_type, 255)
        LIMIT 1
    )
    UNION ALL
    SELECT next.*
    FROM cause
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255)
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND (error_kind, error_fingerprint, left(outbox.event_type, 255))
              > (cause.error_kind, cause.error_fingerprint, cause.event_type)
          AND error_fingerprint IS NOT NULL
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS next
),
grouped AS MATERIALIZED (
    SELECT * FROM cause LIMIT $1::bigint
),
counting AS MATERIALIZED (
    SELECT GREATEST($2::bigint / GREATEST(count(*), 1), 100) AS most FROM grouped
)
SELECT json_build_object(
           'kind', grouped.error_kind,
           'fingerprint', grouped.error_fingerprint,
           'event_type', grouped.event_type,
           'events', counted.events,
           'is_capped', counted.events >= (SELECT most FROM counting),
           'stuck', counted.stuck,
           'aggregates', counted.aggregates,
           'waiting_behind', (
               SELECT count(*)
               FROM (
                   SELECT
                   FROM unnest(counted.keys, counted.ids) AS ahead (key, id)
                   CROSS JOIN LATERAL (
                       SELECT
                       FROM {outbox} AS behind
                       WHERE hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0)) = ahead.key
                         AND behind.id > ahead.id
                         AND behind.published_at IS NULL
                         AND behind.next_attempt_at IS NULL
                       LIMIT (SELECT most FROM counting)
                   ) AS behind
                   LIMIT (SELECT most FROM counting)
               ) AS behind
           ),
           'oldest_created_at', first.created_at,
           'newest_created_at', last.created_at,
           'example_event_id', first.event_id,
           'example_error', first.last_error
       )::text
FROM grouped
CROSS JOIN LATERAL (
    SELECT sum(events)::bigint AS events, sum(stuck)::bigint AS stuck, count(*) AS aggregates,
           array_agg(key) AS keys, array_agg(id) AS ids
    FROM (
        SELECT key, min(id) AS id, count(*) AS events, count(*) FILTER (WHERE next_attempt_at = 'infinity') AS stuck
        FROM (
            SELECT id, next_attempt_at, hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key
            FROM {outbox} AS outbox
            WHERE {is_in_group}
            ORDER BY id
            LIMIT (SELECT most FROM counting)
        ) AS event
        GROUP BY key
    ) AS aggregate
) AS counted
CROSS JOIN LATERAL (
    SELECT event_id, created_at, last_error
    FROM {outbox} AS outbox
    WHERE {is_in_group}
    ORDER BY id
    LIMIT 1
) AS first
CROSS JOIN LATERAL (
    SELECT created_at
    FROM {outbox} AS outbox
    WHERE {is_in_group}
    ORDER BY id DESC
    LIMIT 1
) AS last
ORDER BY counted.events DESC, grouped.error_kind, grouped.error_fingerprint, grouped.event_type
