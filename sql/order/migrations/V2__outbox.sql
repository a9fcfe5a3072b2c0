-- The outbox: events that a transaction wants told to the world, kept until a relay has published them.
-- A service takes part with one INSERT in its own transaction; names, types and meaning of the columns are fixed.
CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- order within an aggregate
    event_id        uuid        NOT NULL UNIQUE DEFAULT gen_random_uuid(),  -- what consumers deduplicate by
    aggregate_type  text        NOT NULL,
    aggregate_id    text        NOT NULL,
    event_type      text        NOT NULL,              -- the routing key, e.g. order.created
    payload         jsonb       NOT NULL,              -- the event's data
    headers         jsonb       NOT NULL DEFAULT '{}', -- traceparent, tracestate, anything else
    created_at      timestamptz NOT NULL DEFAULT now(),
    published_at    timestamptz,                       -- NULL: pending
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    last_error      text
);

-- What a poll reads: the pending rows in order. It holds the backlog alone, however long the history is.
CREATE INDEX outbox_pending_by_id ON outbox (id) WHERE published_at IS NULL;

-- The few rows that failed: waiting for their next attempt, or stuck ('infinity').
CREATE INDEX outbox_held_back ON outbox (next_attempt_at)
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

-- A queue-like table: clean up after a constant number of dead rows, not after a share of the history, and without pauses.
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

COMMENT ON TABLE outbox IS 'Events written with the data they tell of, in the same transaction; a relay publishes them';
COMMENT ON COLUMN outbox.published_at IS 'When the broker had confirmed the event; NULL while it is pending';
COMMENT ON COLUMN outbox.attempts IS 'How many attempts to publish it failed';
COMMENT ON COLUMN outbox.next_attempt_at IS 'Not before this time again; infinity: stuck, a person has to look';
COMMENT ON COLUMN outbox.last_error IS 'Why the latest failed attempt failed';

-- What is not published yet, oldest first, and why.
CREATE VIEW outbox_pending AS
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       CASE
           WHEN next_attempt_at = 'infinity' THEN 'stuck'
           WHEN next_attempt_at > now() THEN 'waiting'
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
CREATE VIEW outbox_stuck AS
SELECT id, event_id, aggregate_type, aggregate_id, event_type,
       CASE WHEN isfinite(created_at) THEN now() - created_at END AS age, attempts, last_error
FROM outbox
WHERE published_at IS NULL AND next_attempt_at = 'infinity'
ORDER BY id;

-- How far behind the relay is: one row.
CREATE VIEW outbox_lag AS
SELECT count(*) AS pending,
       count(*) FILTER (WHERE next_attempt_at > now() AND next_attempt_at < 'infinity') AS waiting,
       count(*) FILTER (WHERE next_attempt_at = 'infinity') AS stuck,
       min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_pending_at,
       now() - min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_pending_age
FROM outbox
WHERE published_at IS NULL;
