-- find_oldest: the age of the first of some pending events that is not scheduled for later, NULL if
-- all are; how many were looked at in that case, and the id of the last of them
-- $1: above which id; $2: how many at the most
SELECT oldest.age_seconds, looked.rows, looked.reached
FROM (
    SELECT (
        SELECT CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision ELSE 0 END
        FROM (
            SELECT created_at, attempts, next_attempt_at
            FROM {outbox}
            WHERE published_at IS NULL AND id > $1::bigint
            ORDER BY id
            LIMIT $2::bigint
        ) AS pending
        WHERE next_attempt_at IS NULL OR attempts > 0 OR next_attempt_at <= now()
        LIMIT 1
    ) AS age_seconds
) AS oldest
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, max(id) AS reached
    FROM (
        SELECT id
        FROM {outbox}
        WHERE published_at IS NULL AND id > $1::bigint
        ORDER BY id
        LIMIT CASE WHEN oldest.age_seconds IS NULL THEN $2::bigint ELSE 0 END
    ) AS pending
) AS looked
