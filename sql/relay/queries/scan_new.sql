-- scan_new: the pending events above an id that nobody has tried yet and nothing holds back; how far it looked; and in which file the
-- table is, which TRUNCATE changes
-- $1: the id, the lowest of all for the whole table; $2, $3: transactions that were open when last looked, and for each the id that its
-- rows are above; $4: lanes, one bit each; $5: rows to look at; $6: whether an event that failed holds back those behind it; $7: also one
-- that is stuck; $8: the virtual ids of those transactions; one that had no other has a NULL in $2
WITH start AS MATERIALIZED (
    -- Of one snapshot with the rows: what one of those transactions has committed by now is looked at as well.
    SELECT least($1::bigint, min(above)) AS id
    FROM unnest($2::bigint[], $3::bigint[], $8::text[]) AS writer (xid, above, virtual_id)
    WHERE CASE
        WHEN xid IS NOT NULL THEN pg_visible_in_snapshot(xid::text::xid8, pg_current_snapshot())
        -- The locks are newer than the snapshot: who is seen without an id here, and is seen again after that, had committed nothing.
        -- It takes both looks, in this order: a commit shows before its locks go, and the virtual id's lock goes first.
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
           next_attempt_at
    FROM {outbox}
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
SELECT summary.rows, summary.reached, summary.audited, summary.filenode, next.id, next.key, next.size
FROM summary
LEFT JOIN (
    SELECT id, key, size
    FROM seen
    WHERE next_attempt_at IS NULL
      AND (1::bigint << (key & 63)::integer) & $4::bigint <> 0
      AND NOT (
          $6::boolean
          -- Asked once. While nothing is held back there is no need to ask of each row.
          AND EXISTS (
              SELECT
              FROM {outbox}
              WHERE published_at IS NULL
                AND next_attempt_at IS NOT NULL
                AND (next_attempt_at IS NOT NULL OR to_tsvector('pg_catalog.simple', last_error) IS NULL)
          )
          AND coalesce((
              -- Put in the order of an index, so that no other one is taken: statistics that know of no failed events yet make any of them
              -- look as good.
              SELECT true
              FROM {outbox} AS ahead
              WHERE ahead.published_at IS NULL
                AND ahead.next_attempt_at IS NOT NULL
                AND hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0)) BETWEEN seen.key AND seen.key
                AND CASE WHEN ahead.id < seen.id THEN true ELSE false END
                -- Implied by the condition of the one index that is meant, which alone is spared its cost: without statistics, or with ones that
                -- a burst has made wrong, the planner would read an aggregate's whole backlog for each of its events.
                AND (ahead.next_attempt_at IS NOT NULL OR to_tsvector('pg_catalog.simple', ahead.last_error) IS NULL)
                AND ($7::boolean OR ahead.next_attempt_at < 'infinity')
              ORDER BY hashtextextended(ahead.aggregate_id, hashtextextended(ahead.aggregate_type, 0))
              LIMIT 1
          ), false)
      )
) AS next ON true
ORDER BY next.id
