-- list_recovered: the causes of events that were published in the last hour after somebody had
-- retried or edited them, the latest first; of the audit table only the newest rows are read
-- $1: how many audit rows are read; $2: only this fingerprint, NULL: any; $3: at most how many causes
WITH newest AS MATERIALIZED (
    SELECT event_id, action, happened_at
    FROM {audit}
    ORDER BY id DESC
    -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
    LIMIT (SELECT $1::bigint)
),
mended AS MATERIALIZED (
    SELECT DISTINCT event_id
    FROM newest
    WHERE action IN ('retry', 'edit')
      AND event_id IS NOT NULL
      AND happened_at > now() - interval '1 hour'
),
grouped AS MATERIALIZED (
    SELECT error_kind, error_fingerprint, event_type, count(*) AS events,
           max(published_at) AS published_at, (array_agg(last_error ORDER BY id DESC))[1] AS last_error
    FROM mended
    -- One by one by the index, whatever the statistics say.
    CROSS JOIN LATERAL (
        SELECT id, error_kind, error_fingerprint, left(outbox.event_type, 255) AS event_type, published_at, last_error
        FROM {outbox} AS outbox
        WHERE outbox.event_id = mended.event_id
        LIMIT 1
    ) AS event
    WHERE published_at > now() - interval '1 hour'
      AND error_kind IS NOT NULL
      AND error_fingerprint IS NOT NULL
      AND ($2::text IS NULL OR error_fingerprint = $2)
    GROUP BY error_kind, error_fingerprint, event_type
    ORDER BY published_at DESC, error_kind, error_fingerprint, event_type
    LIMIT $3::bigint
)
SELECT json_build_object(
           'kind', error_kind,
           'fingerprint', error_fingerprint,
           'event_type', event_type,
           'events', events,
           'is_capped', (SELECT count(*) = $1 AND min(happened_at) > now() - interval '1 hour' FROM newest),
           'is_over', NOT EXISTS (SELECT FROM {outbox} AS outbox WHERE {is_in_group}),
           'last_published_at', published_at,
           'example_error', last_error
       )::text
FROM grouped
ORDER BY published_at DESC, error_kind, error_fingerprint, event_type
