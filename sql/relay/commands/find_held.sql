-- find_held: how many due events wait behind a failed one of their aggregate, and the first of them
-- $1: event_id; $2: whether a failed event holds back the later ones of its aggregate; $3: whether
-- a stuck one does; $4: how many rows may be read; $5: how many events are named
WITH later AS MATERIALIZED (
    SELECT later.id, later.event_id, later.next_attempt_at
    FROM {outbox} AS event
    CROSS JOIN LATERAL (
        SELECT behind.id, behind.event_id, behind.next_attempt_at
        FROM {outbox} AS behind
        WHERE hashtextextended(behind.aggregate_id, hashtextextended(behind.aggregate_type, 0))
              = hashtextextended(event.aggregate_id, hashtextextended(event.aggregate_type, 0))
          AND behind.id > event.id
          AND behind.published_at IS NULL
        ORDER BY behind.id
        LIMIT (SELECT $4::bigint)
    ) AS later
    WHERE $2::boolean
      AND event.event_id = $1::uuid
      AND event.published_at IS NULL
      AND event.next_attempt_at IS NOT NULL
      AND event.attempts > 0
      AND ($3::boolean OR event.next_attempt_at < 'infinity')
),
held AS MATERIALIZED (
    SELECT id, event_id FROM later WHERE next_attempt_at IS NULL OR next_attempt_at <= now()
)
SELECT json_build_object(
           'holds', (
               SELECT coalesce(json_agg(first.event_id ORDER BY first.id), '[]')
               FROM (SELECT id, event_id FROM held ORDER BY id LIMIT $5::bigint) AS first
           ),
           'holds_count', (SELECT count(*) FROM held),
           'holds_is_capped', (SELECT count(*) FROM later) >= $4::bigint
       )::text
