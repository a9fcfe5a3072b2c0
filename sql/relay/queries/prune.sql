-- prune: deletes those of some rows that were published long enough ago; says how many it looked at, how many it deleted, how many
-- are too young, and the highest id
-- $1: above which id; $2: how many rows to look at; $3: seconds since they were published
WITH seen AS MATERIALIZED (
    SELECT id, published_at, published_at < now() - $3::double precision * interval '1 second' AS old
    FROM {outbox}
    WHERE id > $1::bigint
    ORDER BY id
    LIMIT $2::bigint
),
gone AS (
    DELETE FROM {outbox} AS event
    WHERE event.id = ANY (ARRAY(SELECT id FROM seen WHERE old)) AND event.published_at IS NOT NULL
    RETURNING event.id
)
SELECT count(*) AS looked_at,
       (SELECT count(*) FROM gone) AS deleted,
       count(*) FILTER (WHERE NOT old) AS young,
       max(id) AS highest
FROM seen
