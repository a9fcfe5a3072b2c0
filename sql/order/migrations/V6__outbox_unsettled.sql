-- Makes the outbox equal to sql/outbox/schema.sql again.
SET LOCAL lock_timeout = '5s';

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
CREATE OR REPLACE VIEW outbox_pending AS
SELECT id,
       event_id,
       aggregate_type,
       aggregate_id,
       event_type,
       CASE
           WHEN id IN (SELECT noted.id FROM outbox_unsettled AS noted WHERE noted.outcome = 'published') THEN 'unsettled'
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
