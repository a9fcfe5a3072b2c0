-- prune: deletes those of some rows that were published long enough ago; returns how many were looked at, how many deleted, and the highest id
-- $1: above which id; $2: how many rows to look at; $3: published before; $4: only count
WITH seen AS MATERIALIZED (
    SELECT id, published_at FROM {outbox} WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint
),
old AS MATERIALIZED (
    SELECT id FROM seen WHERE published_at < $3::timestamptz
),
gone AS (
    DELETE FROM {outbox} AS event
    WHERE NOT $4::boolean AND event.id = ANY (ARRAY(SELECT id FROM old)) AND event.published_at < $3::timestamptz
    RETURNING event.id
)
SELECT (SELECT count(*) FROM seen),
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END,
       (SELECT max(id) FROM seen)
