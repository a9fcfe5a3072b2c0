-- matches: whether a row is one that a command is about
-- $1: the conditions as a JSON object of text; one that is left out admits any row
($1::text::jsonb ->> 'aggregate' IS NULL OR aggregate_id = $1::text::jsonb ->> 'aggregate')
AND ($1::text::jsonb ->> 'aggregate_type' IS NULL OR aggregate_type = $1::text::jsonb ->> 'aggregate_type')
-- The index of failures has the beginning of the type.
AND (
    $1::text::jsonb ->> 'type' IS NULL
    OR (event_type = $1::text::jsonb ->> 'type' AND left(event_type, 255) = left($1::text::jsonb ->> 'type', 255))
)
AND ($1::text::jsonb ->> 'error' IS NULL OR position(lower($1::text::jsonb ->> 'error') IN lower(last_error)) > 0)
AND ($1::text::jsonb ->> 'since' IS NULL OR created_at >= ($1::text::jsonb ->> 'since')::timestamptz)
AND ($1::text::jsonb ->> 'until' IS NULL OR created_at < ($1::text::jsonb ->> 'until')::timestamptz)
AND ($1::text::jsonb ->> 'published_since' IS NULL OR published_at >= ($1::text::jsonb ->> 'published_since')::timestamptz)
AND ($1::text::jsonb ->> 'published_until' IS NULL OR published_at < ($1::text::jsonb ->> 'published_until')::timestamptz)
AND ($1::text::jsonb ->> 'above_id' IS NULL OR id > ($1::text::jsonb ->> 'above_id')::bigint)
AND ($1::text::jsonb ->> 'up_to_id' IS NULL OR id <= ($1::text::jsonb ->> 'up_to_id')::bigint)
