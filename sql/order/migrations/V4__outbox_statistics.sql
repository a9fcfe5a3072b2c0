-- Makes the outbox equal to sql/outbox/schema.sql again.
SET LOCAL lock_timeout = '5s';

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
    ALTER last_error SET STATISTICS 10;
ALTER INDEX outbox_pending_by_aggregate ALTER COLUMN 1 SET STATISTICS 10;
ALTER INDEX outbox_held_back_by_aggregate ALTER COLUMN 1 SET STATISTICS 10;
