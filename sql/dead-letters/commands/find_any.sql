-- find_any: the ids of the latest dead letters, whatever their state is; if the rows that may be read
-- were read before there were enough, the id of the last of them comes at the end, without a match
-- $1: the conditions; $2: only below this id, NULL: any; $3: at most how many; $4: how many rows may
-- be read
SELECT found, id, NULL::text AS at
FROM (
    WITH matching AS MATERIALIZED (
        SELECT id
        FROM (
            SELECT {conditions_columns}
            FROM dead_letters
            WHERE {has_message_id} AND ($2::bigint IS NULL OR id < $2)
            ORDER BY id DESC
            -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
            LIMIT (SELECT $4::bigint)
        ) AS read
        WHERE {matches}
        ORDER BY id DESC
        LIMIT $3::bigint
    )
    SELECT true AS found, id FROM matching
    UNION ALL
    SELECT NULL, last_read.id
    FROM (
        SELECT id
        FROM dead_letters
        WHERE {has_message_id} AND ($2::bigint IS NULL OR id < $2) AND (SELECT count(*) FROM matching) < $3
        ORDER BY id DESC
        OFFSET (SELECT $4::bigint - 1)
        LIMIT 1
    ) AS last_read
) AS page
ORDER BY found IS NULL, id DESC
