-- published: events published in the last minute, by type   (order database)
SELECT event_type, published, date_trunc('milliseconds', average_delay) AS average_delay, latest
FROM outbox_published_last_minute;
