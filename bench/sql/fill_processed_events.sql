-- fill_processed_events: adds events counted over the last 80 days, with time-ordered ids like
-- those of the services
INSERT INTO processed_events (event_id, processed_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000' || lpad(to_hex(number), 12, '0'))::uuid, at
FROM generate_series(1, $1::bigint) AS number,
     LATERAL (SELECT now() - interval '80 days' + number * interval '79 days' / $1::bigint) AS moment (at)
