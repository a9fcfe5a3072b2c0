-- prune: deletes, or counts, those of some rows that were published before a time and are not
-- locked; returns how many rows were read, how many deleted, the highest id, and the event_ids of
-- old rows that were not deleted
-- $1: above which id; $2: how many rows to read; $3: published before; $4: only count
WITH seen AS MATERIALIZED (
    SELECT id, event_id, published_at FROM {outbox} WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint
),
old AS MATERIALIZED (
    SELECT id, event_id FROM seen WHERE published_at < $3::timestamptz
),
free AS MATERIALIZED (
    SELECT id
    FROM {outbox}
    WHERE NOT $4::boolean AND id = ANY (ARRAY(SELECT id FROM old)) AND published_at < $3::timestamptz
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM {outbox} AS event
    WHERE NOT $4::boolean AND event.id = ANY (ARRAY(SELECT id FROM free)) AND event.published_at < $3::timestamptz
    RETURNING event.id
)
SELECT (SELECT count(*) FROM seen),
       CASE WHEN $4::boolean THEN (SELECT count(*) FROM old) ELSE (SELECT count(*) FROM gone) END,
       (SELECT max(id) FROM seen),
       ARRAY(SELECT event_id FROM old WHERE NOT $4::boolean AND id NOT IN (SELECT id FROM gone) ORDER BY id)
