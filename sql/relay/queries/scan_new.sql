-- scan_new: the pending events above an id that nobody has tried yet and nothing holds back; how
-- far it looked; and in which file the table is, which TRUNCATE changes
-- $1: the id, the lowest of all for the whole table; $2: lanes, one bit each; $3: whether an event
-- that failed holds back those behind it; $4: also one that is stuck; $5: rows to look at; $6, $7,
-- $8: transactions that were open when last looked, for each the id that its rows are above, and
-- its virtual id; one that had no other has a NULL in $6; $9: whether to return scheduled events
-- that are due as well; $10, $11, $12: the aggregate_type, the aggregate_id and the event_type of each
-- pause; where failed events hold back others, an event that is paused for its type is marked, unless
-- it is scheduled; all other paused ones are left out
WITH pauses AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id, event_type
    FROM unnest($10::text[], $11::text[], $12::text[]) AS pause (aggregate_type, aggregate_id, event_type)
),
start AS MATERIALIZED (
    -- Of one snapshot with the rows: what one of those transactions has committed by now is looked
    -- at as well.
    SELECT least($1::bigint, min(above)) AS id
    FROM unnest($6::bigint[], $7::bigint[], $8::text[]) AS writer (xid, above, virtual_id)
    WHERE CASE
        WHEN xid IS NOT NULL THEN pg_visible_in_snapshot(xid::text::xid8, pg_current_snapshot())
        -- The locks are newer than the snapshot: who is seen without an id here, and is seen again
        -- after that, had committed nothing. It takes both looks, in this order: a commit shows
        -- before its locks go, and the virtual id's lock goes first.
        WHEN virtual_id = ANY (
            ARRAY(SELECT virtualtransaction FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock')
        ) THEN true
        ELSE virtual_id <> ALL (ARRAY(SELECT virtualtransaction FROM pg_locks WHERE locktype = 'virtualxid'))
    END
),
seen AS MATERIALIZED (
    SELECT id,
           hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key,
           (
               pg_column_size(payload)::bigint * CASE WHEN pg_column_compression(payload) IS NULL THEN 1 ELSE 16 END
               + coalesce(pg_column_size(headers)::bigint * CASE WHEN pg_column_compression(headers) IS NULL THEN 1 ELSE 16 END, 0)
           ) AS size,
           next_attempt_at,
           attempts,
           CASE
               WHEN NOT EXISTS (SELECT FROM pauses) THEN 0
               WHEN (1::bigint << (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) & 63)::integer) & $2::bigint = 0 THEN 0
               ELSE {pause_kind}
           END AS pause_kind
    FROM {outbox} AS candidate
    WHERE published_at IS NULL
      AND (published_at IS NULL OR to_tsvector('pg_catalog.simple', last_error) IS NULL)
      -- There is no id below the lowest one, and none above the highest.
      AND id >= (SELECT CASE WHEN id IN (-9223372036854775808, 9223372036854775807) THEN id ELSE id + 1 END FROM start)
    ORDER BY id
    LIMIT $5::bigint
),
summary AS (
    SELECT count(*) AS rows,
           max(id) AS reached,
           (SELECT max(id) FROM {audit}) AS audited,
           pg_relation_filenode('{outbox}'::regclass)::bigint AS filenode
    FROM seen
)
SELECT summary.rows, summary.reached, summary.audited, summary.filenode, next.id, next.key, next.size, next.is_paused
FROM summary
LEFT JOIN (
    SELECT id, key, size, pause_kind > 0 AS is_paused
    FROM seen AS candidate
    WHERE (next_attempt_at IS NULL OR $9::boolean AND coalesce(attempts, 0) <= 0 AND next_attempt_at <= now())
      AND (1::bigint << (key & 63)::integer) & $2::bigint <> 0
      AND (pause_kind = 0 OR pause_kind = 1 AND $3::boolean AND next_attempt_at IS NULL)
      AND NOT (
          $3::boolean
          -- Asked once. While nothing is held back there is no need to ask of each row.
          AND EXISTS (
              SELECT
              FROM {outbox}
              WHERE published_at IS NULL
                AND next_attempt_at IS NOT NULL
                AND attempts > 0
                AND (attempts > 0 OR to_tsvector('pg_catalog.simple', last_error) IS NULL)
          )
          AND {is_held_back}
      )
) AS next ON true
ORDER BY next.id
