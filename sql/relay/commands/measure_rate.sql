-- measure_rate: what was published in the last minute, by type, among some rows in descending order
-- of id
-- $1: below which id, NULL: from the newest; $2: how many rows to read
WITH seen AS MATERIALIZED (
    SELECT id, event_type, created_at, published_at
    FROM {outbox}
    WHERE $1::bigint IS NULL OR id < $1
    ORDER BY id DESC
    LIMIT $2::bigint
),
recent AS (
    SELECT event_type,
           count(*) AS published,
           coalesce(sum(extract(epoch FROM published_at - created_at)) FILTER (WHERE isfinite(created_at)), 0)::double precision AS delay,
           count(*) FILTER (WHERE isfinite(created_at)) AS delayed
    FROM seen
    WHERE published_at > now() - interval '1 minute'
    GROUP BY event_type
)
SELECT json_build_object(
           'rows', (SELECT count(*) FROM seen),
           'lowest_id', (SELECT min(id) FROM seen),
           'first_age_ms', (
               SELECT ceil(extract(epoch FROM now() - min(published_at)) * 1000)::bigint
               FROM seen
               WHERE published_at > now() - interval '1 minute'
           ),
           'published_before', EXISTS (SELECT FROM seen WHERE published_at <= now() - interval '1 minute'),
           'recent', coalesce((SELECT json_agg(recent) FROM recent), '[]')
       )::text
