CREATE TABLE balances (
    invoice bigint         PRIMARY KEY,
    due     numeric(10, 2) NOT NULL
);

CREATE TABLE inbox (
    event_id   uuid        PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Ids older than any event that may still be delivered or replayed can be deleted:
-- DELETE FROM inbox WHERE applied_at < now() - interval '90 days'
CREATE INDEX inbox_applied_at ON inbox (applied_at);
