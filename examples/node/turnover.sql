CREATE TABLE turnover (
    item     text   PRIMARY KEY,
    received bigint NOT NULL,
    picked   bigint NOT NULL DEFAULT 0
);

CREATE TABLE inbox (
    event_id   uuid        PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Ids older than any event that may still be delivered or replayed can be deleted:
-- DELETE FROM inbox WHERE applied_at < now() - interval '90 days'
CREATE INDEX inbox_applied_at ON inbox (applied_at);
