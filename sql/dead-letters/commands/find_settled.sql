-- find_settled: the ids of the dead letters that were returned, or discarded, last; without
-- conditions besides the queue, reads at most the wanted number of rows of each queue
-- $1: the conditions; $2: the state; $3: at most how many
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
)
SELECT letter.id
FROM seen
CROSS JOIN LATERAL (
    SELECT id, settled_at
    FROM dead_letters
    WHERE state IN ('returned', 'discarded') AND queue = seen.queue AND state = $2::text AND {matches}
    ORDER BY settled_at DESC, id DESC
    LIMIT $3::bigint
) AS letter
ORDER BY letter.settled_at DESC, letter.id DESC
LIMIT $3::bigint
