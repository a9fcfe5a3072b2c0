-- find_unsettled: the ids of the oldest dead letters that are open, or that are being returned; if the
-- rows that may be read were read before there were enough, the id of the last of them comes at the
-- end, without a match
-- $1: the conditions; $2: the state; $3: at most how many; $4: how many rows may be read; $5: only
-- above this id, NULL: any
SELECT found, id, NULL::text AS at
FROM (
    WITH matching AS MATERIALIZED (
        SELECT id
        FROM (
            SELECT {conditions_columns}
            FROM dead_letters
            WHERE state = $2::text AND {is_indexed} AND ($5::bigint IS NULL OR id > $5)
            ORDER BY id
            -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
            LIMIT (SELECT $4::bigint)
        ) AS read
        WHERE {matches}
        ORDER BY id
        LIMIT $3::bigint
    )
    SELECT true AS found, id FROM matching
    UNION ALL
    SELECT NULL, last_read.id
    FROM (
        SELECT id
        FROM dead_letters
        WHERE state = $2::text
          AND {is_indexed}
          AND ($5::bigint IS NULL OR id > $5)
          AND (SELECT count(*) FROM matching) < $3
        ORDER BY id
        OFFSET (SELECT $4::bigint - 1)
        LIMIT 1
    ) AS last_read
) AS page
ORDER BY found IS NULL, id
