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
CREATE VIEW outbox_failures AS
WITH failed AS MATERIALIZED (
    SELECT id, event_id, event_type, created_at, next_attempt_at, last_error, error_kind, error_fingerprint,
           hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS aggregate
    FROM outbox
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND attempts > 0
)
SELECT error_kind,
       error_fingerprint,
       event_type,
       count(*) AS events,
       count(*) FILTER (WHERE next_attempt_at = 'infinity') AS stuck,
       count(DISTINCT failed.aggregate) AS aggregates,
       (
           SELECT count(DISTINCT behind.id)
           FROM failed AS ahead
           JOIN outbox AS behind ON hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0)) = ahead.aggregate
           WHERE ahead.error_kind IS NOT DISTINCT FROM failed.error_kind
             AND ahead.error_fingerprint IS NOT DISTINCT FROM failed.error_fingerprint
             AND ahead.event_type = failed.event_type
             AND behind.id > ahead.id
             AND behind.published_at IS NULL
             AND behind.next_attempt_at IS NULL
       ) AS waiting_behind,
       min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_created_at,
       max(created_at) FILTER (WHERE isfinite(created_at)) AS newest_created_at,
       (array_agg(event_id ORDER BY id))[1] AS example_event_id,
       (array_agg(last_error ORDER BY id))[1] AS example_error
FROM failed
GROUP BY error_kind, error_fingerprint, event_type
ORDER BY events DESC;

ALTER TABLE outbox_audit ADD COLUMN operation_id uuid; -- the same for all rows of one command

CREATE INDEX outbox_audit_operation_id ON outbox_audit (operation_id);

ALTER TABLE outbox_audit DROP CONSTRAINT outbox_audit_action_check;
ALTER TABLE outbox_audit ADD CONSTRAINT outbox_audit_action_check
    CHECK (action IN ('retry', 'discard', 'replay', 'edit', 'restore', 'forget', 'pause', 'resume'));
