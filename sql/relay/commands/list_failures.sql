-- list_failures: failed events by cause and type, the most frequent first; of each group no more
-- rows are read than are counted
-- $1: at most how many groups are read; $2: at which sum counting stops, shared evenly by the
-- groups; $3: at most how many groups are returned: what waits behind the others is not looked up;
-- $4: only this fingerprint, NULL: any
WITH RECURSIVE cause AS (
    -- From one group to the next by the index, however many events are between.
    SELECT first.*
    FROM unnest('{returned,nacked,refused,unpublishable}'::text[]) AS of (kind)
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255) AS event_type
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND error_kind = of.kind
          AND error_fingerprint IS NOT NULL
          AND ($4::text IS NULL OR error_fingerprint = $4)
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS first
    UNION ALL
    SELECT next.*
    FROM cause
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255)
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND error_kind = cause.error_kind
          AND (error_fingerprint, left(outbox.event_type, 255)) > (cause.error_fingerprint, cause.event_type)
          AND ($4::text IS NULL OR error_fingerprint = $4)
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS next
),
grouped AS MATERIALIZED (
    SELECT * FROM cause LIMIT $1::bigint
),
counting AS MATERIALIZED (
    SELECT GREATEST($2::bigint / GREATEST(count(*), 1), 100) AS most FROM grouped
),
counted AS MATERIALIZED (
    SELECT *
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
    ) AS of_group
    ORDER BY events DESC, error_kind, error_fingerprint, event_type
    LIMIT (SELECT $3::bigint)
)
SELECT json_build_object(
           'kind', grouped.error_kind,
           'fingerprint', grouped.error_fingerprint,
           'event_type', grouped.event_type,
           'events', grouped.events,
           'is_capped', grouped.events >= (SELECT most FROM counting),
           'stuck', grouped.stuck,
           'aggregates', grouped.aggregates,
           'waiting_behind', (
               SELECT count(*) FILTER (WHERE next_attempt_at IS NULL)
               FROM (
                   SELECT behind.next_attempt_at
                   FROM unnest(grouped.keys, grouped.ids) AS ahead (key, id)
                   CROSS JOIN LATERAL (
                       SELECT next_attempt_at
                       FROM {outbox} AS behind
                       WHERE hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0)) = ahead.key
                         AND behind.id > ahead.id
                         AND behind.published_at IS NULL
                       LIMIT (SELECT most FROM counting)
                   ) AS behind
                   -- Of what is read: failed ones may be behind as well.
                   LIMIT (SELECT most FROM counting)
               ) AS behind
           ),
           'oldest_created_at', first.created_at,
           'newest_created_at', last.created_at,
           'example_event_id', first.event_id,
           'example_error', first.last_error
       )::text
FROM counted AS grouped
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
ORDER BY grouped.events DESC, grouped.error_kind, grouped.error_fingerprint, grouped.event_type
