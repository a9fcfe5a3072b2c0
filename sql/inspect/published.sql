-- published: events published in the last minute, by type   (order database)
-- Looks at the newest 100,000 rows only, so that it stays fast however long the history is.
SELECT event_type,
       count(*) AS published,
       date_trunc('milliseconds', avg(published_at - created_at)) AS average_delay,
       max(published_at) AS latest
FROM (SELECT event_type, created_at, published_at FROM outbox ORDER BY id DESC LIMIT 100000) AS newest
WHERE published_at > now() - interval '1 minute'
GROUP BY event_type
ORDER BY published DESC;
