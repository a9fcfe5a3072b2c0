-- pause_json: a pause as the commands show it; the row has all columns of the table of pauses
json_build_object(
    'id', id,
    'aggregate_type', aggregate_type,
    'aggregate_id', aggregate_id,
    'event_type', event_type,
    'until', until,
    'reason', reason,
    'actor', actor,
    'created_at', created_at,
    'age_seconds', CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::double precision ELSE 0 END
)::text
