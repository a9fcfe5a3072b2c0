-- prune: deletes a limited number of a queue's rows whose retention has passed; skips those that
-- another transaction has locked
-- $1: the dead-letter queue; $2: seconds since that; $3: at most how many
DELETE FROM dead_letters
WHERE id = ANY (ARRAY(
    -- One state after the other, to follow the index.
    SELECT letter.id
    FROM (VALUES ('returned'), ('discarded')) AS settled (state)
    CROSS JOIN LATERAL (
        SELECT id
        FROM dead_letters
        WHERE queue = $1::text
          AND state IN ('returned', 'discarded')
          AND state = settled.state
          AND settled_at < now() - $2::double precision * interval '1 second'
        ORDER BY settled_at, id
        LIMIT $3::bigint
        FOR UPDATE SKIP LOCKED
    ) AS letter
    LIMIT $3::bigint
))
