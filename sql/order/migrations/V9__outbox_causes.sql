-- Makes the outbox equal to sql/outbox/schema.sql again: failures with one cause form a group, and what people do has a number.
-- The index is built from few rows, but reads the whole table meanwhile, and writers wait. On a table with many millions of rows make it
-- beforehand, with the two columns: the same statements, and CREATE INDEX CONCURRENTLY. This one finds it done.
SET LOCAL lock_timeout = '5s';

ALTER TABLE outbox
    ADD COLUMN IF NOT EXISTS error_kind text COLLATE "C",
    ADD COLUMN IF NOT EXISTS error_fingerprint text COLLATE "C";

CREATE INDEX IF NOT EXISTS outbox_failures_by_cause ON outbox (error_kind, error_fingerprint, left(event_type, 255), id)
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

ALTER TABLE outbox
    ALTER error_kind SET STATISTICS 10,
    ALTER error_fingerprint SET STATISTICS 10;
ALTER INDEX outbox_failures_by_cause ALTER COLUMN 3 SET STATISTICS 10;

COMMENT ON COLUMN outbox.error_kind IS 'How the latest failed attempt failed: returned, nacked, refused or unpublishable';
COMMENT ON COLUMN outbox.error_fingerprint IS 'A hash of last_error without ids, numbers and values: the same for all failures with one cause';

-- What failed, by cause and type of event, the most frequent first; and what waits behind it, if the relays keep events in strict order.
-- Of 500 groups at most, the first by cause; 20,000 events are counted, shared evenly by the groups, so that a look at millions of
-- failures takes no longer than one at thousands: is_capped says where counting stopped. What an older release noted has no cause.
CREATE VIEW outbox_failures AS
WITH RECURSIVE cause AS (
    -- From one group to the next by the index, however many events are between.
    (
        SELECT error_kind, error_fingerprint, left(event_type, 255) AS event_type
        FROM outbox
        WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND error_kind IS NOT NULL AND error_fingerprint IS NOT NULL
        ORDER BY error_kind, error_fingerprint, left(event_type, 255)
        LIMIT 1
    )
    UNION ALL
    SELECT next.*
    FROM cause
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255)
        FROM outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND (error_kind, error_fingerprint, left(outbox.event_type, 255)) > (cause.error_kind, cause.error_fingerprint, cause.event_type)
          AND error_fingerprint IS NOT NULL
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS next
),
-- The limits stand in subqueries: the planner would take the numbers themselves for what there is, and compile the statement.
grouped AS MATERIALIZED (
    SELECT * FROM cause LIMIT (SELECT 500)
),
counting AS MATERIALIZED (
    SELECT GREATEST(20000 / GREATEST(count(*), 1), 100) AS most FROM grouped
)
SELECT grouped.error_kind,
       grouped.error_fingerprint,
       grouped.event_type,
       counted.events,
       counted.events >= (SELECT most FROM counting) AS is_capped,
       counted.stuck,
       counted.aggregates,
       (
           SELECT count(*)
           FROM (
               SELECT
               FROM unnest(counted.keys, counted.ids) AS ahead (key, id)
               CROSS JOIN LATERAL (
                   SELECT
                   FROM outbox AS behind
                   WHERE hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0)) = ahead.key
                     AND behind.id > ahead.id
                     AND behind.published_at IS NULL
                     AND behind.next_attempt_at IS NULL
                   LIMIT (SELECT most FROM counting)
               ) AS behind
               LIMIT (SELECT most FROM counting)
           ) AS behind
       ) AS waiting_behind,
       counted.oldest_created_at,
       counted.newest_created_at,
       example.event_id AS example_event_id,
       example.last_error AS example_error
FROM grouped
CROSS JOIN LATERAL (
    SELECT sum(events)::bigint AS events, sum(stuck)::bigint AS stuck, count(*) AS aggregates,
           min(oldest) AS oldest_created_at, max(newest) AS newest_created_at, array_agg(key) AS keys, array_agg(id) AS ids
    FROM (
        SELECT key, min(id) AS id, count(*) AS events, count(*) FILTER (WHERE next_attempt_at = 'infinity') AS stuck,
               min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest, max(created_at) FILTER (WHERE isfinite(created_at)) AS newest
        FROM (
            SELECT id, next_attempt_at, created_at, hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key
            FROM outbox
            WHERE published_at IS NULL
              AND next_attempt_at IS NOT NULL
              AND error_kind = grouped.error_kind
              AND error_fingerprint = grouped.error_fingerprint
              AND left(outbox.event_type, 255) = grouped.event_type
            ORDER BY id
            LIMIT (SELECT most FROM counting)
        ) AS event
        GROUP BY key
    ) AS aggregate
) AS counted
CROSS JOIN LATERAL (
    SELECT event_id, last_error
    FROM outbox
    WHERE published_at IS NULL
      AND next_attempt_at IS NOT NULL
      AND error_kind = grouped.error_kind
      AND error_fingerprint = grouped.error_fingerprint
      AND left(outbox.event_type, 255) = grouped.event_type
    ORDER BY id
    LIMIT 1
) AS example
UNION ALL
SELECT NULL, NULL, NULL, count(*), count(*) >= 20000, count(*) FILTER (WHERE next_attempt_at = 'infinity'), NULL, NULL,
       min(created_at) FILTER (WHERE isfinite(created_at)), max(created_at) FILTER (WHERE isfinite(created_at)),
       (array_agg(event_id ORDER BY id))[1], (array_agg(last_error ORDER BY id))[1]
FROM (
    SELECT id, event_id, attempts, next_attempt_at, created_at, last_error
    FROM outbox
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND error_kind IS NULL AND error_fingerprint IS NULL
    ORDER BY error_kind, error_fingerprint, left(event_type, 255), id
    LIMIT (SELECT 20000)
) AS without_cause
WHERE attempts > 0
HAVING count(*) > 0
ORDER BY events DESC;

ALTER TABLE outbox_audit ADD COLUMN operation_id uuid; -- the same for all rows of one command

CREATE INDEX outbox_audit_operation_id ON outbox_audit (operation_id);

ALTER TABLE outbox_audit DROP CONSTRAINT outbox_audit_action_check;
ALTER TABLE outbox_audit ADD CONSTRAINT outbox_audit_action_check
    CHECK (action IN ('retry', 'discard', 'replay', 'edit', 'restore', 'forget', 'pause', 'resume'));
