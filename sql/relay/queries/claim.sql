-- claim: the next pending events in order, leaving out whatever stands behind an event that failed, until that one is published
-- $1: how many at the most; $2: how many bytes of stored payload may be taken before another one is taken
WITH held_back AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id, min(id) AS first_id
    FROM outbox
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL
    GROUP BY aggregate_type, aggregate_id
),
ready AS (
    SELECT event.*,
           pg_column_size(event.payload) AS size,
           sum(pg_column_size(event.payload)) OVER (ORDER BY event.id) AS size_so_far
    FROM (
        SELECT id, event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, attempts
        FROM outbox
        WHERE published_at IS NULL
          AND (next_attempt_at IS NULL OR next_attempt_at <= now())
          AND (
              -- A look-up in a hash table for each row, so that the rows are still read in the order of the index.
              (aggregate_type, aggregate_id) NOT IN (SELECT aggregate_type, aggregate_id FROM held_back)
              -- The one that failed, when it is due: alone, as those behind it would fill the batch for nothing if it
              -- failed again. And a lower id that was committed late, which is ahead of it. Most rows that come here
              -- stand behind, and fail the first comparison; the second is a look-up by key in a sorted object.
              OR (
                  id <= (SELECT max(first_id) FROM held_back)
                  AND id <= (
                      (
                          SELECT jsonb_object_agg(length(aggregate_type) || ':' || aggregate_type || aggregate_id, first_id)
                          FROM held_back
                      ) ->> (length(aggregate_type) || ':' || aggregate_type || aggregate_id)
                  )::bigint
              )
          )
        ORDER BY id
        LIMIT $1::bigint
    ) AS event
)
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       payload::text,
       headers::text,
       attempts,
       -- NULL for a time that RFC 3339 or the message's timestamp can't say.
       CASE WHEN sayable THEN to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END AS occurred_at,
       CASE WHEN sayable THEN floor(extract(epoch FROM created_at))::bigint END AS created_at_seconds,
       CASE WHEN sayable THEN extract(epoch FROM clock_timestamp() - created_at)::double precision END AS age_seconds
FROM ready
CROSS JOIN LATERAL (SELECT created_at >= 'epoch' AND created_at < '10000-01-01 00:00:00Z' AS sayable) AS time
WHERE size_so_far - size < $2::bigint
ORDER BY id
