-- page_held_back: pending events that are not due, in the order of their times and ids; if the rows
-- that may be read were read before there were enough, the place of the last of them comes at the
-- end, without an event
-- $1: the conditions; $2: only behind this id, NULL: any; $3: at most how many; $4: whether a failed
-- event holds back the later ones of its aggregate; $5: whether a stuck one does; $6: how many rows
-- may be read; $7: the time that belongs to $2; $8: those that failed, or those that did not; $9:
-- those that have no next attempt, or those that have one
WITH listed AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT {listed_columns}
        FROM {outbox}
        WHERE {is_not_due}
        ORDER BY next_attempt_at, id
        -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
        LIMIT (SELECT $6::bigint)
    ) AS read
    WHERE {matches}
    ORDER BY next_attempt_at, id
    LIMIT $3::bigint
),
ahead AS MATERIALIZED ({first_failed})
SELECT event, id, to_json(next_attempt_at) #>> '{}' AS at
FROM (
    SELECT {event_json} AS event, listed.id, next_attempt_at
    FROM listed
    LEFT JOIN ahead ON ahead.key = listed.key AND ahead.id < listed.id
    UNION ALL
    SELECT NULL, last_read.id, next_attempt_at
    FROM (
        SELECT id, next_attempt_at
        FROM {outbox}
        WHERE {is_not_due} AND (SELECT count(*) FROM listed) < $3
        ORDER BY next_attempt_at, id
        OFFSET (SELECT $6::bigint - 1)
        LIMIT 1
    ) AS last_read
) AS page
ORDER BY event IS NULL, next_attempt_at, id
