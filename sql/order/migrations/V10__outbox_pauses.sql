-- Makes the outbox equal to sql/outbox/schema.sql again: events can be paused, and scheduled events are told from failed ones.
-- The indexes are built from few rows, but read the whole table meanwhile, and writers wait. On a table with many millions of rows make
-- them beforehand: the same statements, and CREATE INDEX CONCURRENTLY. This one finds them done.
SET LOCAL lock_timeout = '5s';

-- Failed and scheduled events by their time, each kind apart: those that are due, and those that are stuck or parked ('infinity').
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (((attempts > 0) IS TRUE), next_attempt_at, id)
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

-- Whether an event of an aggregate failed. Empty while all goes well.
CREATE INDEX IF NOT EXISTS outbox_failed_by_aggregate
    ON outbox (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)))
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND attempts > 0;

ALTER INDEX outbox_due ALTER COLUMN 1 SET STATISTICS 10;
ALTER INDEX outbox_failed_by_aggregate ALTER COLUMN 1 SET STATISTICS 10;

-- What relays don't publish for now: events that match all that a row names. In strict order the later events of their aggregates wait
-- as well. What is in flight is finished.
CREATE TABLE outbox_pauses (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_type text,                               -- NULL: any, in each of the three
    aggregate_id   text,
    event_type     text,
    until          timestamptz,                        -- it ends then; NULL: when a person ends it
    reason         text,
    actor          text        NOT NULL,               -- the person, as the command knows them
    created_at     timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE outbox_pauses IS 'What relays of the outbox don''t publish for now';

-- What is not published yet, oldest first, and why.
CREATE OR REPLACE VIEW outbox_pending AS
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       CASE
           WHEN id IN (SELECT noted.id FROM outbox_unsettled AS noted WHERE noted.outcome = 'published') THEN 'unsettled'
           WHEN next_attempt_at = 'infinity' AND attempts > 0 THEN 'stuck'
           WHEN next_attempt_at = 'infinity' THEN 'parked'
           WHEN next_attempt_at > now() AND attempts > 0 THEN 'waiting'
           WHEN next_attempt_at > now() THEN 'scheduled'
           ELSE 'ready'
       END AS state,
       CASE WHEN isfinite(created_at) THEN now() - created_at END AS age,
       attempts,
       next_attempt_at,
       last_error
FROM outbox
WHERE published_at IS NULL
ORDER BY id;

-- What no relay will try again by itself, and why.
CREATE OR REPLACE VIEW outbox_stuck AS
SELECT id, event_id, aggregate_type, aggregate_id, event_type,
       CASE WHEN isfinite(created_at) THEN now() - created_at END AS age, attempts, last_error
FROM outbox
WHERE published_at IS NULL AND next_attempt_at = 'infinity' AND attempts > 0
ORDER BY id;

-- How far behind the relay is: one row.
CREATE OR REPLACE VIEW outbox_lag AS
SELECT count(*) AS pending,
       count(*) FILTER (WHERE next_attempt_at > now() AND next_attempt_at < 'infinity' AND attempts > 0) AS waiting,
       count(*) FILTER (WHERE next_attempt_at = 'infinity' AND attempts > 0) AS stuck,
       min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_pending_at,
       now() - min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_pending_age,
       count(*) FILTER (WHERE next_attempt_at > now() AND next_attempt_at < 'infinity' AND (attempts > 0) IS NOT TRUE) AS scheduled,
       count(*) FILTER (WHERE next_attempt_at = 'infinity' AND (attempts > 0) IS NOT TRUE) AS parked
FROM outbox
WHERE published_at IS NULL;

COMMENT ON COLUMN outbox.next_attempt_at IS 'Not before this time again; infinity: stuck, a person has to look; without attempts: scheduled or parked by its writer';
