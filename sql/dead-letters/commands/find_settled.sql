-- find_settled: the ids and times of the dead letters that were returned, or discarded, last; if the
-- rows that may be read were read before there were enough, the last place up to which all were read
-- comes at the end, without a match
-- $1: the conditions; $2: the state; $3: at most how many; $4: how many rows may be read, shared
-- evenly by the queues; $5, $6: only those that were settled before this id and time, NULL: any
WITH RECURSIVE seen AS (
    -- Skips from queue to queue by the index, however many rows are settled.
    (
        SELECT queue
        FROM dead_letters
        WHERE state IN ('returned', 'discarded')
        ORDER BY queue
        LIMIT 1
    )
    UNION ALL
    SELECT next.queue
    FROM seen
    CROSS JOIN LATERAL (
        SELECT queue
        FROM dead_letters
        WHERE state IN ('returned', 'discarded') AND queue > seen.queue
        ORDER BY queue
        LIMIT 1
    ) AS next
),
named AS MATERIALIZED (
    SELECT queue FROM seen WHERE $1::text::jsonb ->> 'queue' IS NULL OR queue = $1::text::jsonb ->> 'queue'
),
reading AS MATERIALIZED (
    SELECT GREATEST($4::bigint / GREATEST(count(*), 1), 100) AS most FROM named
),
found AS MATERIALIZED (
    SELECT matching.ids, matching.times, last_read.id, last_read.settled_at
    FROM named
    CROSS JOIN LATERAL (
        SELECT array_agg(id) AS ids, array_agg(settled_at) AS times, count(*) AS letters
        FROM (
            SELECT id, settled_at
            FROM (
                SELECT {conditions_columns}
                FROM dead_letters
                WHERE {is_settled}
                ORDER BY settled_at DESC, id DESC
                LIMIT (SELECT most FROM reading)
            ) AS read
            WHERE {matches}
            ORDER BY settled_at DESC, id DESC
            LIMIT $3::bigint
        ) AS letter
    ) AS matching
    LEFT JOIN LATERAL (
        SELECT id, settled_at
        FROM dead_letters
        WHERE {is_settled} AND matching.letters < $3
        ORDER BY settled_at DESC, id DESC
        OFFSET (SELECT most - 1 FROM reading)
        LIMIT 1
    ) AS last_read ON true
),
-- Behind the first queue that was not read to its end, rows of it may be missing.
read AS MATERIALIZED (
    SELECT id, settled_at FROM found WHERE id IS NOT NULL ORDER BY settled_at DESC, id DESC LIMIT 1
),
listed AS MATERIALIZED (
    SELECT matching.id, matching.settled_at
    FROM found
    CROSS JOIN LATERAL unnest(ids, times) AS matching (id, settled_at)
    LEFT JOIN read ON true
    WHERE read.id IS NULL OR (matching.settled_at, matching.id) >= (read.settled_at, read.id)
    ORDER BY matching.settled_at DESC, matching.id DESC
    LIMIT $3::bigint
)
SELECT found, id, to_json(settled_at) #>> '{}' AS at
FROM (
    SELECT true AS found, id, settled_at FROM listed
    UNION ALL
    SELECT NULL, id, settled_at FROM read WHERE (SELECT count(*) FROM listed) < $3
) AS page
ORDER BY found IS NULL, page.settled_at DESC, id DESC
