-- find_by_cause: the ids of the oldest open dead letters of some causes or types; if the rows that may
-- be read were read before there were enough, the last id up to which all were read comes at the
-- end, without a match; if there are more causes than may be looked at, a row without an id comes
-- first
-- $1: the conditions; $2: only above this id, NULL: any; $3: at most how many; $4: how many rows may
-- be read, shared evenly by the groups; $5: how many groups may be looked at
WITH RECURSIVE place AS (
    -- Skips from kind to kind of each queue by the index, however many causes are between.
    (
        SELECT queue, error_kind
        FROM dead_letters
        WHERE state = 'open'
        ORDER BY queue, error_kind
        LIMIT 1
    )
    UNION ALL
    SELECT next.*
    FROM place
    CROSS JOIN LATERAL (
        SELECT queue, error_kind
        FROM dead_letters
        WHERE state = 'open' AND (queue, error_kind) > (place.queue, place.error_kind)
        ORDER BY queue, error_kind
        LIMIT 1
    ) AS next
),
-- Only groups that may match, so that those of other causes leave them room among the $5.
seen AS (
    SELECT first.*
    FROM place
    CROSS JOIN LATERAL (
        SELECT queue, error_kind, fingerprint, event_type
        FROM dead_letters
        WHERE state = 'open'
          AND (queue, error_kind, fingerprint, event_type)
              >= (place.queue, place.error_kind, coalesce($1::text::jsonb ->> 'fingerprint', ''), '')
        ORDER BY queue, error_kind, fingerprint, event_type
        LIMIT 1
    ) AS first
    WHERE ($1::text::jsonb ->> 'queue' IS NULL OR place.queue = $1::text::jsonb ->> 'queue')
      AND ($1::text::jsonb ->> 'kind' IS NULL OR place.error_kind = $1::text::jsonb ->> 'kind')
      AND (first.queue, first.error_kind) = (place.queue, place.error_kind)
      AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR first.fingerprint = $1::text::jsonb ->> 'fingerprint')
    UNION ALL
    SELECT next.*
    FROM seen
    CROSS JOIN LATERAL ({next_group}) AS next
    WHERE (next.queue, next.error_kind) = (seen.queue, seen.error_kind)
      AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR next.fingerprint = seen.fingerprint)
),
walked AS MATERIALIZED (
    SELECT * FROM seen LIMIT (SELECT $5::bigint + 1)
),
grouped AS MATERIALIZED (
    SELECT *
    FROM (SELECT * FROM walked LIMIT (SELECT $5::bigint)) AS looked_at
    WHERE $1::text::jsonb ->> 'type' IS NULL OR event_type = $1::text::jsonb ->> 'type'
),
reading AS MATERIALIZED (
    SELECT GREATEST($4::bigint / GREATEST(count(*), 1), 100) AS most FROM grouped
),
found AS MATERIALIZED (
    SELECT matching.ids, last_read.id AS read_up_to
    FROM grouped
    CROSS JOIN LATERAL (
        SELECT array_agg(id) AS ids, count(*) AS letters
        FROM (
            SELECT id
            FROM (
                SELECT {conditions_columns}
                FROM dead_letters
                WHERE {is_in_group_after}
                ORDER BY queue, error_kind, fingerprint, event_type, id
                LIMIT (SELECT most FROM reading)
            ) AS read
            WHERE {matches_letter}
            -- The order in which they are read: all else is the same in a group.
            ORDER BY event_type, id
            LIMIT $3::bigint
        ) AS letter
    ) AS matching
    LEFT JOIN LATERAL (
        SELECT id
        FROM dead_letters
        WHERE {is_in_group_after} AND matching.letters < $3
        ORDER BY queue, error_kind, fingerprint, event_type, id
        OFFSET (SELECT most - 1 FROM reading)
        LIMIT 1
    ) AS last_read ON true
),
-- Behind the first group that was not read to its end, rows of it may be missing.
read AS MATERIALIZED (
    SELECT min(read_up_to) AS up_to_id FROM found
),
listed AS MATERIALIZED (
    SELECT matching.id
    FROM found
    CROSS JOIN LATERAL unnest(ids) AS matching (id)
    WHERE (SELECT up_to_id FROM read) IS NULL OR matching.id <= (SELECT up_to_id FROM read)
    ORDER BY matching.id
    LIMIT $3::bigint
)
SELECT found, id, NULL::text AS at
FROM (
    SELECT NULL::boolean AS found, NULL::bigint AS id WHERE (SELECT count(*) FROM walked) > $5
    UNION ALL
    SELECT true, id FROM listed
    UNION ALL
    SELECT NULL, up_to_id
    FROM read
    WHERE up_to_id IS NOT NULL AND (SELECT count(*) FROM listed) < $3
) AS page
ORDER BY id IS NOT NULL, found IS NULL, id
