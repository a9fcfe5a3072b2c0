CREATE TABLE customers (
    id           uuid        PRIMARY KEY,
    name         text        NOT NULL,
    address      text        NOT NULL,
    orders_count bigint      NOT NULL DEFAULT 0 CHECK (orders_count >= 0),
    created_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80); -- room on each page for the counter's HOT updates

-- Which events have had their effect: the row is written in the transaction that applies the event.
CREATE TABLE processed_events (
    event_id     uuid        PRIMARY KEY,
    processed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE processed_events IS 'Deduplication: keep it far longer than any dead-letter or replay window';
