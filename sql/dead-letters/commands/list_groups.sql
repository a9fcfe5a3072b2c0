-- list_groups: open dead letters by queue, cause and type, the most frequent first; reads few more
-- rows of each group than it counts
-- $1: only this queue, NULL: any; $2: only this kind, NULL: any; $3: at most how many groups; $4: at
-- which sum counting stops, shared evenly by the groups
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
    WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR error_kind = $2)
    -- In a subquery: from a plain number the planner would overestimate the rows, and use JIT.
    LIMIT (SELECT $3::bigint)
),
counting AS MATERIALIZED (
    SELECT GREATEST($4::bigint / GREATEST(count(*), 1), 100) AS most FROM grouped
)
SELECT json_build_object(
           'queue', grouped.queue,
           'kind', grouped.error_kind,
           'fingerprint', grouped.fingerprint,
           'event_type', grouped.event_type,
           'messages', counted.messages,
           'is_capped', counted.messages >= (SELECT most FROM counting),
           'returned_before', counted.returned_before,
           'oldest_collected_at', first.collected_at,
           'newest_collected_at', last.collected_at,
           'up_to_id', last.id,
           'example_id', first.id,
           'example_reason', first.reason
       )::text
FROM grouped
CROSS JOIN LATERAL (
    SELECT count(*) AS messages, count(*) FILTER (WHERE returns > 0) AS returned_before
    FROM (
        SELECT returns
        FROM dead_letters
        WHERE {is_in_group}
        ORDER BY queue, error_kind, fingerprint, event_type, id
        LIMIT (SELECT most FROM counting)
    ) AS letter
) AS counted
CROSS JOIN LATERAL (
    SELECT id, collected_at, left(reason, 10000) AS reason
    FROM dead_letters
    WHERE {is_in_group}
    ORDER BY queue, error_kind, fingerprint, event_type, id
    LIMIT 1
) AS first
CROSS JOIN LATERAL (
    SELECT id, collected_at
    FROM dead_letters
    WHERE {is_in_group}
    ORDER BY queue DESC, error_kind DESC, fingerprint DESC, event_type DESC, id DESC
    LIMIT 1
) AS last
-- An estimate of the size, to order groups that were not counted to the end: the average distance
-- from some points between the first and the last id to the next id of the group.
CROSS JOIN LATERAL (
    SELECT (last.id - first.id + 1) / (2 * avg(next.id - point.id) + 1) AS messages
    FROM generate_series(1, 8) AS place
    CROSS JOIN LATERAL (SELECT first.id + ((last.id - first.id) * (place / 9.0))::bigint AS id) AS point
    CROSS JOIN LATERAL (
        SELECT id
        FROM dead_letters
        WHERE state = 'open'
          AND (queue, error_kind, fingerprint, event_type, id)
              >= (grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type, point.id)
        ORDER BY queue, error_kind, fingerprint, event_type, id
        LIMIT 1
    ) AS next
    WHERE counted.messages >= (SELECT most FROM counting)
) AS estimated
ORDER BY GREATEST(counted.messages, estimated.messages) DESC, grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type
