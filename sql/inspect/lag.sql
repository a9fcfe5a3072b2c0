-- lag: how many events are pending and how old the oldest is   (order database)
SELECT * FROM outbox_lag;
