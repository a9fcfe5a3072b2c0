-- Events are forgotten after PROCESSED_EVENTS_RETENTION, the oldest first. Events that were counted together share their time, and
-- the index keeps one key for all of them: it takes little room.
CREATE INDEX processed_events_processed_at ON processed_events (processed_at);

-- Rows are only added, and deleted from the other end: vacuum after so many of them, not after a fifth of what may be hundreds of millions.
ALTER TABLE processed_events SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000
);
