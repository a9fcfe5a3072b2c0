-- prune_events: deletes a batch of events that were counted before the retention time
-- $1: retention in seconds; $2: batch size; $3: the newest time of the batch before, NULL for the
-- first one
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
SELECT (SELECT count(*) FROM old) AS scanned, count(*) AS deleted, (SELECT max(processed_at) FROM old) AS newest
FROM gone
