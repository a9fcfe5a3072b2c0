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
    next_attempt_at timestamptz,                       -- with attempts = 0: not before this time (scheduled), or never (parked)
    last_error      text,
    error_kind        text COLLATE "C",                -- how the latest attempt failed: returned, nacked, refused, unpublishable
    error_fingerprint text COLLATE "C"                 -- what failures with the same cause share
);

-- What a poll reads: the pending rows in order. It holds the backlog alone, however long the history is.
CREATE INDEX outbox_pending_by_id ON outbox (id) WHERE published_at IS NULL;

-- Failed and scheduled events by their time, each kind apart: those that are due, and those that are stuck or parked ('infinity').
CREATE INDEX outbox_due ON outbox (((attempts > 0) IS TRUE), next_attempt_at, id)
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

-- The same, as relays of the previous release look for them.
CREATE INDEX outbox_held_back ON outbox (next_attempt_at)
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

-- What waits behind an event of the same aggregate, in order. The aggregate is the hash by which relays share the work;
-- two aggregates with one hash, should there ever be any, take turns.
CREATE INDEX outbox_pending_by_aggregate
    ON outbox (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)), id)
    WHERE published_at IS NULL;

-- Whether an event of an aggregate failed. Empty while all goes well.
CREATE INDEX outbox_failed_by_aggregate
    ON outbox (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)))
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND attempts > 0;

-- The same, as relays of the previous release look for it.
CREATE INDEX outbox_held_back_by_aggregate
    ON outbox (hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)))
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL;

-- The failed events of one cause and one type are a range of it. (AMQP allows a type of 255 bytes; a longer one is stuck, and must fit.)
CREATE INDEX outbox_failures_by_cause ON outbox (error_kind, error_fingerprint, left(event_type, 255), id)
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

-- Analyzed often, it shall not take long: 3,000 rows are looked at (300 times the largest of these numbers) and not 30,000, which
-- takes ten times as long, and requests notice. The planner has little to choose: rows are found by id or aggregate.
ALTER TABLE outbox
    ALTER id SET STATISTICS 10,
    ALTER event_id SET STATISTICS 10,
    ALTER aggregate_type SET STATISTICS 10,
    ALTER aggregate_id SET STATISTICS 10,
    ALTER event_type SET STATISTICS 10,
    ALTER payload SET STATISTICS 10,
    ALTER headers SET STATISTICS 10,
    ALTER created_at SET STATISTICS 10,
    ALTER published_at SET STATISTICS 10,
    ALTER attempts SET STATISTICS 10,
    ALTER next_attempt_at SET STATISTICS 10,
    ALTER last_error SET STATISTICS 10,
    ALTER error_kind SET STATISTICS 10,
    ALTER error_fingerprint SET STATISTICS 10;
ALTER INDEX outbox_pending_by_aggregate ALTER COLUMN 1 SET STATISTICS 10;
ALTER INDEX outbox_due ALTER COLUMN 1 SET STATISTICS 10;
ALTER INDEX outbox_failed_by_aggregate ALTER COLUMN 1 SET STATISTICS 10;
ALTER INDEX outbox_held_back_by_aggregate ALTER COLUMN 1 SET STATISTICS 10;
ALTER INDEX outbox_failures_by_cause ALTER COLUMN 3 SET STATISTICS 10;

COMMENT ON TABLE outbox IS 'Events written with the data they tell of, in the same transaction; a relay publishes them';
COMMENT ON COLUMN outbox.published_at IS 'When the broker had confirmed the event; NULL while it is pending';
COMMENT ON COLUMN outbox.attempts IS 'How many attempts to publish it failed';
COMMENT ON COLUMN outbox.next_attempt_at IS 'Not before this time again; infinity: stuck, a person has to look; without attempts: scheduled or parked by its writer';
COMMENT ON COLUMN outbox.last_error IS 'Why the latest failed attempt failed';
COMMENT ON COLUMN outbox.error_kind IS 'How the latest failed attempt failed: returned, nacked, refused or unpublishable';
COMMENT ON COLUMN outbox.error_fingerprint IS 'A hash of last_error without ids, numbers and values: the same for all failures with one cause';

-- Events whose outcome is known and whose rows can't be changed: somebody holds a row's lock, or a trigger, a foreign key or a policy
-- forbids it. Relays leave a published one alone, which would be published a second time otherwise, and write the outcome into its row
-- as soon as they can; then it is no more in here.
CREATE TABLE outbox_unsettled (
    event_id     uuid        PRIMARY KEY,
    id           bigint      NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('published', 'expired')), -- expired: it can't be deleted at the end of its retention
    kind         text        NOT NULL CHECK (kind IN ('locked', 'refused')),
    reason       text,                                                             -- what the database said
    confirmed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE outbox_unsettled IS 'Events of the outbox whose rows can''t be changed for now; relays keep it';

-- What is not published yet, oldest first, and why.
CREATE VIEW outbox_pending AS
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
CREATE VIEW outbox_stuck AS
SELECT id, event_id, aggregate_type, aggregate_id, event_type,
       CASE WHEN isfinite(created_at) THEN now() - created_at END AS age, attempts, last_error
FROM outbox
WHERE published_at IS NULL AND next_attempt_at = 'infinity' AND attempts > 0
ORDER BY id;

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

-- How far behind the relay is: one row.
CREATE VIEW outbox_lag AS
SELECT count(*) AS pending,
       count(*) FILTER (WHERE next_attempt_at > now() AND next_attempt_at < 'infinity' AND attempts > 0) AS waiting,
       count(*) FILTER (WHERE next_attempt_at = 'infinity' AND attempts > 0) AS stuck,
       min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_pending_at,
       now() - min(created_at) FILTER (WHERE isfinite(created_at)) AS oldest_pending_age,
       count(*) FILTER (WHERE next_attempt_at > now() AND next_attempt_at < 'infinity' AND (attempts > 0) IS NOT TRUE) AS scheduled,
       count(*) FILTER (WHERE next_attempt_at = 'infinity' AND (attempts > 0) IS NOT TRUE) AS parked
FROM outbox
WHERE published_at IS NULL;

-- Which relay works on which lanes. A relay holds an advisory lock for each lane it owns: the first half of the key is
-- 1869968384 + the lane (0 to 63), the second half the table's oid. Number 64 is held by every relay that is at work.
CREATE VIEW outbox_relays AS
SELECT lock.pid,
       activity.application_name AS relay,
       activity.client_addr,
       count(*) FILTER (WHERE lock.classid::bigint < 1869968448) AS lanes,
       array_agg(lock.classid::bigint - 1869968384 ORDER BY lock.classid::bigint)
           FILTER (WHERE lock.classid::bigint < 1869968448) AS lane_numbers,
       activity.backend_start AS connected_at
FROM pg_locks AS lock
LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE lock.locktype = 'advisory'
  AND lock.objsubid = 2
  AND lock.granted
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND lock.classid::bigint BETWEEN 1869968384 AND 1869968448
  AND lock.objid = 'outbox'::regclass
GROUP BY lock.pid, activity.application_name, activity.client_addr, activity.backend_start
ORDER BY lock.pid;

-- What was published in the last minute, by type. Looks at the newest 100,000 rows only, so that it stays fast however
-- long the history is.
CREATE VIEW outbox_published_last_minute AS
SELECT event_type,
       count(*) AS published,
       avg(published_at - created_at) FILTER (WHERE isfinite(created_at)) AS average_delay,
       max(published_at) AS latest
FROM (SELECT event_type, created_at, published_at FROM outbox ORDER BY id DESC LIMIT 100000) AS newest
WHERE published_at > now() - interval '1 minute'
GROUP BY event_type
ORDER BY published DESC;

-- What people did to events: who, when, what and why. A discarded event lives on here.
CREATE TABLE outbox_audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT now(),
    actor       text        NOT NULL,                      -- the person, as the command knows them
    db_user     text        NOT NULL DEFAULT session_user, -- the role that the command used
    action      text        NOT NULL CHECK (action IN ('retry', 'discard', 'replay', 'edit', 'restore', 'forget', 'pause', 'resume')),
    reason      text,
    event_id    uuid,                                      -- NULL: many events at once, see detail
    event       jsonb,                                     -- the row as it was when it was discarded
    detail      jsonb,                                     -- what was asked for, and how many events it was
    operation_id uuid                                      -- the same for all rows of one command
);

CREATE INDEX outbox_audit_event_id ON outbox_audit (event_id);

CREATE INDEX outbox_audit_operation_id ON outbox_audit (operation_id);

COMMENT ON TABLE outbox_audit IS 'What people did to events of the outbox; a relay looks again when a row is added';

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
