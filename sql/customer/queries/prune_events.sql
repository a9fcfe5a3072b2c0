-- prune_events: forgets some of the events that were counted long enough ago; says how many, and the latest time among them
-- $1: seconds since they were counted; $2: how many; $3: none before this time, up to which earlier statements went
WITH old AS MATERIALIZED (
    SELECT event_id, processed_at
    FROM processed_events
    WHERE processed_at < now() - $1::double precision * interval '1 second'
      AND processed_at >= coalesce($3::timestamptz, '-infinity')
    ORDER BY processed_at
    LIMIT $2::bigint
),
gone AS (
    DELETE FROM processed_events WHERE event_id = ANY (ARRAY(SELECT event_id FROM old))
    RETURNING processed_at
)
SELECT (SELECT count(*) FROM old) AS looked_at, count(*) AS deleted, (SELECT max(processed_at) FROM old) AS latest
FROM gone
