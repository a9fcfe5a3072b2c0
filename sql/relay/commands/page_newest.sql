-- page_newest: events, the newest first, with their ids; if the rows that may be read were read
-- before there were enough, the id of the last of them comes at the end, without an event
-- $1: the conditions; $2: only below this id, NULL: any; $3: at most how many; $4: whether a failed
-- event holds back the later ones of its aggregate; $5: whether a stuck one does; $6: how many rows
-- may be read; $7: only published ones
WITH listed AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT {listed_columns}
        FROM {outbox}
        WHERE $2::bigint IS NULL OR id < $2
        ORDER BY id DESC
        -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
        LIMIT (SELECT $6::bigint)
    ) AS read
    WHERE (NOT $7::boolean OR published_at IS NOT NULL)
      AND {matches}
      AND {matches_cause}
    ORDER BY id DESC
    LIMIT $3::bigint
),
ahead AS MATERIALIZED ({first_failed})
SELECT event, id, NULL::text AS at
FROM (
    SELECT {event_json} AS event, listed.id
    FROM listed
    LEFT JOIN ahead ON ahead.key = listed.key AND ahead.id < listed.id
    UNION ALL
    SELECT NULL, last_read.id
    FROM (
        SELECT id
        FROM {outbox}
        WHERE ($2::bigint IS NULL OR id < $2) AND (SELECT count(*) FROM listed) < $3
        ORDER BY id DESC
        OFFSET (SELECT $6::bigint - 1)
        LIMIT 1
    ) AS last_read
) AS page
ORDER BY event IS NULL, id DESC
