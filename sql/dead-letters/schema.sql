-- Dead letters: messages that a consumer could not process, taken from its dead-letter queue, so that people can look at them, group
-- them by cause, edit them and return them. The tables may stand in any database; beside the consumer's own is the usual place.
CREATE TABLE dead_letters (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue           text        NOT NULL,                -- the dead-letter queue that it was collected from
    return_to       text,                                -- the queue that it goes back to
    identity        bytea       NOT NULL,                -- SHA-256 of queue, content header and body
    message_id      text,                                -- property message_id; by it consumers of an outbox deduplicate
    event_type      text,                                -- property type, or else the routing key that it was first published with
    exchange        text,                                -- where it was first published
    routing_key     text,
    body            bytea       NOT NULL,                -- what is returned: as it was collected, or as it was edited
    content_type    text,
    content_header  bytea       NOT NULL,                -- all properties and headers in the encoding of AMQP 0-9-1: what is returned
    properties      jsonb       NOT NULL,                -- the same for people
    headers         jsonb       NOT NULL,
    original        jsonb,                               -- body (base64) and content_header (base64) as collected, once it was edited
    error_kind      text        COLLATE "C" NOT NULL,    -- how it died: rejected, expired, maxlen, delivery_limit, or as the consumer says
    reason          text,                                -- why, as the consumer or the broker says
    fingerprint     text        COLLATE "C" NOT NULL,    -- what dead letters with the same cause share
    tries           integer,                             -- how often the consumer tried it
    first_failed_at timestamptz,
    last_failed_at  timestamptz,
    collected_at    timestamptz NOT NULL DEFAULT now(),
    state           text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'returning', 'returned', 'discarded')),
    settled_at      timestamptz,                         -- when it was returned or discarded
    earlier_id      bigint,                              -- the row of its death before this one
    returns         integer     NOT NULL DEFAULT 0,      -- how often it was returned before
    note            text                                 -- what people noted
);
