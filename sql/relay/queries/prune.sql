-- prune: deletes those of some rows that were published long enough ago and that nobody has
-- locked; says how many it looked at, how many are old enough, how many of these it deleted, and
-- the highest id
-- $1: above which id; $2: how many rows to look at; $3: seconds since they were published
WITH seen AS MATERIALIZED (
    SELECT id, published_at < now() - $3::double precision * interval '1 second' AS old
    FROM {outbox}
    WHERE id > $1::bigint
    ORDER BY id
    LIMIT $2::bigint
),
free AS MATERIALIZED (
    SELECT id
    FROM {outbox}
    WHERE id = ANY (ARRAY(SELECT id FROM seen WHERE old)) AND published_at IS NOT NULL
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM {outbox} AS event
    WHERE event.id = ANY (ARRAY(SELECT id FROM free)) AND event.published_at IS NOT NULL
    RETURNING event.id
)
SELECT count(*) AS looked_at,
       count(*) FILTER (WHERE old) AS old,
       (SELECT count(*) FROM gone) AS deleted,
       max(id) AS highest
FROM seen
