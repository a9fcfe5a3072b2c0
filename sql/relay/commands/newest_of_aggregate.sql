-- newest_of_aggregate: the ids of an aggregate's newest events: those that are pending, which an
-- index has, and published ones that are among the table's newest rows
-- $1, $2: type and id of the aggregate; $3: at most how many; $4: how many rows may be read in
-- search of published ones
SELECT event_id
FROM (
    (
        SELECT id, event_id
        FROM {outbox}
        WHERE published_at IS NULL
          -- Put in the order of the one index that is meant, whatever the statistics say.
          AND hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0))
              BETWEEN hashtextextended($2::text, hashtextextended($1::text, 0))
                  AND hashtextextended($2::text, hashtextextended($1::text, 0))
          AND aggregate_type = $1::text
          AND aggregate_id = $2::text
        ORDER BY hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) DESC, id DESC
        LIMIT $3::bigint
    )
    UNION ALL
    (
        SELECT id, event_id
        FROM (
            SELECT id, event_id, aggregate_type, aggregate_id, published_at
            FROM {outbox}
            ORDER BY id DESC
            -- In a subquery: from a plain number the planner would expect that many rows, and sort.
            LIMIT (SELECT $4::bigint)
        ) AS read
        WHERE published_at IS NOT NULL AND aggregate_type = $1::text AND aggregate_id = $2::text
        ORDER BY id DESC
        LIMIT $3::bigint
    )
) AS newest
ORDER BY id DESC
LIMIT $3::bigint
