-- prune_audit: deletes those of some audit rows that are old enough; says how many it looked at,
-- how many it deleted, and the highest id
-- $1: above which id; $2: how many rows to look at; $3: seconds since the change
WITH seen AS MATERIALIZED (
    SELECT id, happened_at < now() - $3::double precision * interval '1 second' AS old
    FROM {audit}
    WHERE id > $1::bigint
    ORDER BY id
    LIMIT $2::bigint
),
gone AS (
    DELETE FROM {audit} AS entry WHERE entry.id = ANY (ARRAY(SELECT id FROM seen WHERE old)) RETURNING entry.id
)
SELECT count(*) AS looked_at, (SELECT count(*) FROM gone) AS deleted, max(id) AS highest FROM seen
