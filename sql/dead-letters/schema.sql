-- The desk: a table of dead letters, messages that a consumer could not process, collected from its
-- dead-letter queue, so that people can list them, group them by cause, edit them and return them.
-- The tables may be in any database; the consumer's own is the usual place. Run it as the role that
-- is to own the tables:
--
--     outbox-relay dead-letters schema | psql "$DEAD_LETTERS_DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction
CREATE TABLE dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue           text        COLLATE "C" NOT NULL,    -- the dead-letter queue that it was collected from
    return_to       text,                                -- the queue that it goes back to; NULL: a person has to name one
    identity        bytea       NOT NULL,                -- SHA-256 of message and queue: what the collector knows a redelivered message by
    message_id      text,                                -- property message_id; by it consumers of an outbox deduplicate
    event_type      text        COLLATE "C" NOT NULL,    -- property type, or else the routing key that it was first published with, or ''
    exchange        text,                                -- where it was first published, as far as its headers tell
    routing_key     text,
    body            bytea       NOT NULL,                -- what is returned: as it was collected, or as it was edited
    content_type    text,
    content_header  bytea       NOT NULL,                -- the payload of its header frame (AMQP 0-9-1, 2.3.5.2): all properties and headers
    properties      jsonb       NOT NULL,                -- the same for people; {} if they can't be read
    headers         jsonb       NOT NULL,
    original        jsonb,                               -- body and content_header as collected, both in base64, once it was edited
    error_kind      text        COLLATE "C" NOT NULL,    -- how it died: failed, rejected, expired, maxlen, delivery_limit, unknown
    reason          text,                                -- why, as the consumer says
    fingerprint     text        COLLATE "C" NOT NULL,    -- what dead letters with the same cause share
    tries           integer,                             -- how often the consumer tried it
    first_failed_at timestamptz,
    last_failed_at  timestamptz,
    collected_at    timestamptz NOT NULL DEFAULT now(),
    redelivered     boolean     NOT NULL DEFAULT false,  -- it had been delivered before: after a crash it may be the copy of another row
    state           text        COLLATE "C" NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'returning', 'returned', 'discarded')),
    settled_at      timestamptz,                         -- when it was returned or discarded
    may_have_arrived boolean    NOT NULL DEFAULT false,  -- a return had no answer, and a later one was refused
    earlier_id      bigint,                              -- the row of its death before this one
    returns         integer     NOT NULL DEFAULT 0,      -- how often it had been returned when it died
    note            text,                                -- what people noted
    collector_session uuid,                              -- which session of a collector took it
    delivery_tag      bigint,                            -- as which of its deliveries
    CHECK ((settled_at IS NULL) = (state IN ('open', 'returning')))
);

-- For list: the open rows in order, of all queues or of one.
CREATE INDEX dead_letters_open_by_id ON dead_letters (id) WHERE state = 'open';
CREATE INDEX dead_letters_open_by_queue ON dead_letters (queue, id) WHERE state = 'open';

-- For groups: the open rows with one cause are a range, and groups are found by skipping from one
-- to the next.
CREATE INDEX dead_letters_open_by_cause ON dead_letters (queue, error_kind, fingerprint, event_type, id) WHERE state = 'open';
CREATE INDEX dead_letters_open_by_fingerprint ON dead_letters (fingerprint, id) WHERE state = 'open';

-- Returning rows: a command is publishing them, or was interrupted.
CREATE INDEX dead_letters_returning ON dead_letters (id) WHERE state = 'returning';

-- Rows by the time of their settlement, for list and for DEAD_LETTERS_RETENTION.
CREATE INDEX dead_letters_settled ON dead_letters (queue, state, settled_at, id) WHERE state IN ('returned', 'discarded');

-- All deaths of one message.
CREATE INDEX dead_letters_by_message_id ON dead_letters (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX dead_letters_by_earlier_id ON dead_letters (earlier_id) WHERE earlier_id IS NOT NULL;

-- The rows of a session, to find those that it had not acknowledged.
CREATE INDEX dead_letters_by_delivery ON dead_letters (collector_session, delivery_tag) WHERE collector_session IS NOT NULL;

COMMENT ON TABLE dead_letters IS 'Messages that a consumer could not process, taken from its dead-letter queue';
COMMENT ON COLUMN dead_letters.queue IS 'The dead-letter queue that it was collected from';
COMMENT ON COLUMN dead_letters.return_to IS 'The queue that it goes back to';
COMMENT ON COLUMN dead_letters.body IS 'What is returned: as it was collected, or as it was edited';
COMMENT ON COLUMN dead_letters.content_header IS 'All properties and headers in the encoding of AMQP 0-9-1: what is returned';
COMMENT ON COLUMN dead_letters.original IS 'Body and content_header as they were collected, in base64, once it was edited';
COMMENT ON COLUMN dead_letters.error_kind IS 'How it died: failed (the consumer says why), rejected, expired, maxlen, delivery_limit or unknown';
COMMENT ON COLUMN dead_letters.fingerprint IS 'A hash of the reason without ids, numbers and values: the same for all with one cause';
COMMENT ON COLUMN dead_letters.state IS 'open; returning: being published; returned: the broker has confirmed it; discarded';
COMMENT ON COLUMN dead_letters.earlier_id IS 'The row of its death before this one, which retention may have deleted';
COMMENT ON COLUMN dead_letters.may_have_arrived IS 'A return ended without an answer of the broker, and a later one was refused: its message may be at the queue';
COMMENT ON COLUMN dead_letters.redelivered IS 'It had been delivered before: if a collector or the broker crashed, it may be the copy of another row';

-- The collectors' sessions that are running or were interrupted, and how far each has acknowledged.
-- The message of a row of dead_letters with a higher delivery_tag is still in the queue, and will
-- be delivered again. Unlogged: an update does not wait for the disk, so that little time passes
-- between it and the acknowledgement; and after a crash in which an update may be lost, PostgreSQL
-- empties the table. The ids are random: an identity column of an unlogged table would restart at 1
-- then, and rows that were acknowledged long ago would seem to be a new session's.
CREATE UNLOGGED TABLE dead_letters_sessions (
    id                 uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    queue              text        NOT NULL,
    acknowledged_up_to bigint      NOT NULL DEFAULT 0,   -- noted before the acknowledgement is sent
    started_at         timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE dead_letters_sessions IS 'How far collectors of dead letters have acknowledged; collectors keep it';

-- What people did to dead letters: who, when, what and why.
CREATE TABLE dead_letters_audit (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at    timestamptz NOT NULL DEFAULT now(),
    actor          text        NOT NULL,                      -- the person, as the command knows them
    db_user        text        NOT NULL DEFAULT session_user, -- the role that the command used
    action         text        NOT NULL CHECK (action IN ('edit', 'note', 'return', 'discard', 'forget')),
    reason         text,
    dead_letter_id bigint      NOT NULL,                      -- its row, which retention may have deleted
    before         jsonb,                                     -- what was changed, as it was before
    after          jsonb,                                     -- and as it is since
    detail         jsonb,                                     -- what was asked for, and what came of it
    operation_id   uuid        NOT NULL                       -- the same for all rows of one command
);

CREATE INDEX dead_letters_audit_by_dead_letter ON dead_letters_audit (dead_letter_id, id);
CREATE INDEX dead_letters_audit_by_operation ON dead_letters_audit (operation_id);

COMMENT ON TABLE dead_letters_audit IS 'What people did to dead letters';

-- The open dead letters, oldest first, without their contents.
CREATE VIEW dead_letters_open AS
SELECT id,
       queue,
       event_type,
       message_id,
       error_kind,
       reason,
       tries,
       returns,
       last_failed_at,
       collected_at,
       now() - collected_at AS age,
       note
FROM dead_letters
WHERE state = 'open'
ORDER BY id;

-- The open dead letters by queue, cause and type, the most frequent first. It shows at most 500
-- groups, the first by queue and cause, and counts at most 20,000 rows, shared evenly by the
-- groups, so that millions take no longer than thousands: is_capped says where counting stopped.
CREATE VIEW dead_letters_open_groups AS
WITH RECURSIVE seen AS (
    -- Skips from group to group by the index, however many rows are between.
    (
        SELECT queue, error_kind, fingerprint, event_type
        FROM dead_letters
        WHERE state = 'open'
        ORDER BY queue, error_kind, fingerprint, event_type
        LIMIT 1
    )
    UNION ALL
    SELECT next.*
    FROM seen
    CROSS JOIN LATERAL (
        SELECT queue, error_kind, fingerprint, event_type
        FROM dead_letters
        WHERE state = 'open'
          AND (queue, error_kind, fingerprint, event_type) > (seen.queue, seen.error_kind, seen.fingerprint, seen.event_type)
        ORDER BY queue, error_kind, fingerprint, event_type
        LIMIT 1
    ) AS next
),
-- The limits stand in subqueries: from plain numbers the planner would overestimate the rows, and
-- use JIT.
grouped AS MATERIALIZED (
    SELECT * FROM seen LIMIT (SELECT 500)
),
counting AS MATERIALIZED (
    SELECT GREATEST(20000 / GREATEST(count(*), 1), 100) AS most FROM grouped
)
-- Each group is read as a range that only the index by cause has: with an equality for each column
-- the planner may choose the index by id, and read all rows outside the group.
SELECT grouped.queue,
       grouped.error_kind,
       grouped.fingerprint,
       grouped.event_type,
       counted.messages,
       counted.messages >= (SELECT most FROM counting) AS is_capped,
       counted.returned_before,
       first.collected_at AS oldest_collected_at,
       last.collected_at AS newest_collected_at,
       first.id AS example_id,
       first.reason AS example_reason
FROM grouped
CROSS JOIN LATERAL (
    SELECT count(*) AS messages, count(*) FILTER (WHERE returns > 0) AS returned_before
    FROM (
        SELECT returns
        FROM dead_letters
        WHERE state = 'open'
          AND queue = grouped.queue
          AND error_kind = grouped.error_kind
          AND fingerprint = grouped.fingerprint
          AND event_type >= grouped.event_type
          AND event_type <= grouped.event_type
        ORDER BY queue, error_kind, fingerprint, event_type, id
        LIMIT (SELECT most FROM counting)
    ) AS letter
) AS counted
CROSS JOIN LATERAL (
    SELECT id, collected_at, reason
    FROM dead_letters
    WHERE state = 'open'
      AND queue = grouped.queue
      AND error_kind = grouped.error_kind
      AND fingerprint = grouped.fingerprint
      AND event_type >= grouped.event_type
      AND event_type <= grouped.event_type
    ORDER BY queue, error_kind, fingerprint, event_type, id
    LIMIT 1
) AS first
CROSS JOIN LATERAL (
    SELECT collected_at
    FROM dead_letters
    WHERE state = 'open'
      AND queue = grouped.queue
      AND error_kind = grouped.error_kind
      AND fingerprint = grouped.fingerprint
      AND event_type >= grouped.event_type
      AND event_type <= grouped.event_type
    ORDER BY queue DESC, error_kind DESC, fingerprint DESC, event_type DESC, id DESC
    LIMIT 1
) AS last
ORDER BY counted.messages DESC, grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type;

-- Dead letters that have been open or returning for a day, by queue. It counts up to 20,000 of each
-- queue: is_capped says where counting stopped.
CREATE VIEW dead_letters_old AS
WITH RECURSIVE seen AS (
    (
        SELECT queue FROM dead_letters WHERE state = 'open' ORDER BY queue LIMIT 1
    )
    UNION ALL
    SELECT next.queue
    FROM seen
    CROSS JOIN LATERAL (
        SELECT queue FROM dead_letters WHERE state = 'open' AND queue > seen.queue ORDER BY queue LIMIT 1
    ) AS next
),
known AS (
    SELECT queue FROM seen
    UNION
    SELECT queue FROM dead_letters WHERE state = 'returning'
)
SELECT known.queue,
       count(*) AS messages,
       count(*) >= 20000 AS is_capped,
       min(letter.collected_at) AS oldest_collected_at,
       now() - min(letter.collected_at) AS oldest_age
FROM known
CROSS JOIN LATERAL (
    -- By id, which is nearly the order of collection, so the oldest come first.
    (
        SELECT collected_at
        FROM (
            SELECT collected_at
            FROM dead_letters
            WHERE state = 'open' AND queue >= known.queue AND queue <= known.queue
            ORDER BY queue, id
            LIMIT (SELECT 20000)
        ) AS first
    )
    UNION ALL
    SELECT collected_at FROM dead_letters WHERE state = 'returning' AND queue = known.queue
) AS letter
WHERE letter.collected_at < now() - interval '1 day'
GROUP BY known.queue
ORDER BY oldest_collected_at;
