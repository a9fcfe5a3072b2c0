-- count_events: adds the events that are new to their customers' counters and returns the others:
-- duplicates, and those of unknown customers
-- $1: event ids, distinct; $2: the customer of each
WITH incoming AS MATERIALIZED (
    SELECT event_id, customer_id, EXISTS (SELECT FROM customers WHERE id = customer_id) AS known
    FROM unnest($1::uuid[], $2::uuid[]) AS batch (event_id, customer_id)
),
counted AS (
    -- In key order: another consumer with the same events waits at the first of them, which avoids
    -- deadlocks.
    INSERT INTO processed_events (event_id)
    SELECT event_id FROM incoming WHERE known ORDER BY event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id
),
added AS (
    UPDATE customers
    SET orders_count = orders_count + fresh.events
    FROM (SELECT customer_id, count(*) AS events FROM counted JOIN incoming USING (event_id) GROUP BY customer_id) AS fresh
    WHERE customers.id = fresh.customer_id
)
SELECT event_id,
       known OR EXISTS (SELECT FROM processed_events AS processed WHERE processed.event_id = incoming.event_id) AS duplicate
FROM incoming
WHERE NOT EXISTS (SELECT FROM counted WHERE counted.event_id = incoming.event_id)
