-- list_audit: what people did to dead letters, the latest first, with the ids, without copies of
-- their contents; if the rows that may be read were read before there were enough, the id of the last
-- of them comes at the end, without an entry
-- $1: only of this actor, $2: only this action, $4: only to this dead letter, NULL: any; $3: at most
-- how many; $5: only below this id, NULL: any; $6: how many rows may be read; $7, $8: since and
-- before this time, NULL: any; $9: only of this operation, NULL: any
SELECT entry, id, NULL::text AS at
FROM (
    WITH listed AS MATERIALIZED (
        SELECT *
        FROM (
            SELECT id, happened_at, actor, db_user, action, reason, dead_letter_id, operation_id, detail
            FROM dead_letters_audit
            WHERE {is_in_audit}
            ORDER BY id DESC
            -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
            LIMIT (SELECT $6::bigint)
        ) AS read
        WHERE ($1::text IS NULL OR actor = $1)
          AND ($2::text IS NULL OR action = $2)
          AND ($7::text IS NULL OR happened_at >= $7::text::timestamptz)
          AND ($8::text IS NULL OR happened_at < $8::text::timestamptz)
        ORDER BY id DESC
        LIMIT $3::bigint
    )
    SELECT json_build_object(
               'id', id,
               'happened_at', happened_at,
               'actor', actor,
               'db_user', db_user,
               'action', action,
               'reason', reason,
               'dead_letter_id', dead_letter_id,
               'operation_id', operation_id,
               'detail', detail
           )::text AS entry,
           id
    FROM listed
    UNION ALL
    SELECT NULL, last_read.id
    FROM (
        SELECT id
        FROM dead_letters_audit
        WHERE {is_in_audit} AND (SELECT count(*) FROM listed) < $3
        ORDER BY id DESC
        OFFSET (SELECT $6::bigint - 1)
        LIMIT 1
    ) AS last_read
) AS page
ORDER BY entry IS NULL, id DESC
