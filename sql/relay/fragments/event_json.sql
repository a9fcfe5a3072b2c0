-- event_json: a listed event as the commands show it; `ahead` is the failed event of its aggregate
-- that holds it back
json_build_object(
    'id', listed.id,
    'event_id', listed.event_id,
    'aggregate_type', aggregate_type,
    'aggregate_id', aggregate_id,
    'event_type', event_type,
    'state', CASE
        WHEN published_at IS NOT NULL THEN 'published'
        WHEN next_attempt_at = 'infinity' THEN CASE WHEN attempts > 0 THEN 'stuck' ELSE 'parked' END
        WHEN next_attempt_at > now() THEN CASE WHEN attempts > 0 THEN 'waiting' ELSE 'scheduled' END
        WHEN ahead.id IS NOT NULL THEN 'behind'
        ELSE 'ready'
    END,
    'waits_behind', ahead.event_id,
    'waits_behind_id', ahead.id,
    'created_at', created_at,
    'age_seconds', CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision END,
    'published_at', published_at,
    'attempts', attempts,
    'next_attempt_at', next_attempt_at,
    'last_error', last_error{cause_members}
)::text
