-- claim: the next pending events in order, leaving out whatever stands behind an event that failed, until that one is published
-- $1: how many at the most; $2: how many bytes of payload may be taken before another event is taken
WITH held_back AS MATERIALIZED (
    -- A map from an aggregate to its first event that failed, as two arrays in the order of the keys: of any size, and
    -- searched by halving. Two aggregates with one key, should there ever be any, wait for the earlier event of both.
    SELECT array_agg(key ORDER BY key) AS keys, array_agg(first_id ORDER BY key) AS first_ids
    FROM (
        SELECT hashtextextended(length(aggregate_type) || ':' || aggregate_type || aggregate_id, 0) AS key,
               min(id) AS first_id
        FROM outbox
        WHERE published_at IS NULL AND next_attempt_at IS NOT NULL
        GROUP BY 1
    ) AS aggregate
),
next AS (
    SELECT id, event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, attempts
    FROM outbox
    WHERE published_at IS NULL
      AND (next_attempt_at IS NULL OR next_attempt_at <= now())
      -- Computed for each row as it is read, so that the rows are still read in the order of the index.
      AND (
          (SELECT keys FROM held_back) IS NULL
          -- Those behind the event that failed stay out also when it is due, as they would fill the batch for nothing if
          -- it failed again. A lower id that was committed late goes ahead of it.
          OR (
              SELECT (
                  (SELECT keys FROM held_back)[place] = key AND (SELECT first_ids FROM held_back)[place] < outbox.id
              ) IS NOT TRUE
              FROM (
                  SELECT hashtextextended(length(aggregate_type) || ':' || aggregate_type || aggregate_id, 0) AS key OFFSET 0
              ) AS own
              CROSS JOIN LATERAL (SELECT width_bucket(key, (SELECT keys FROM held_back)) AS place OFFSET 0) AS found
          )
      )
    ORDER BY id
    LIMIT $1::bigint
),
-- A first cut by what is stored, at 4 times the limit and as if compression were to a 16th: thousands of big payloads are
-- not unpacked to take a few.
likely AS (
    SELECT next.*, sum(stored) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - stored AS stored_before
    FROM next
    CROSS JOIN LATERAL (
        SELECT pg_column_size(payload) / CASE WHEN pg_column_compression(payload) IS NULL THEN 16 ELSE 1 END AS stored
        OFFSET 0
    ) AS estimate
),
ready AS (
    SELECT likely.*,
           body,
           sum(octet_length(body)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - octet_length(body) AS size_before
    FROM likely
    CROSS JOIN LATERAL (SELECT payload::text AS body OFFSET 0) AS unpacked
    WHERE stored_before < $2::bigint / 4
)
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       body AS payload,
       headers::text,
       attempts,
       -- NULL for a time that RFC 3339 or the message's timestamp can't say.
       CASE WHEN sayable THEN to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END AS occurred_at,
       CASE WHEN sayable THEN floor(extract(epoch FROM created_at))::bigint END AS created_at_seconds,
       CASE WHEN sayable THEN extract(epoch FROM clock_timestamp() - created_at)::double precision END AS age_seconds
FROM ready
CROSS JOIN LATERAL (SELECT created_at >= 'epoch' AND created_at < '10000-01-01 00:00:00Z' AS sayable) AS time
WHERE size_before < $2::bigint
ORDER BY id
