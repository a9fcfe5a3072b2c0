-- matches: whether a dead letter is one that a command is about
-- $1: the conditions as a JSON object of text; one that is left out admits any
($1::text::jsonb ->> 'queue' IS NULL OR queue = $1::text::jsonb ->> 'queue')
AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR fingerprint = $1::text::jsonb ->> 'fingerprint')
AND ($1::text::jsonb ->> 'kind' IS NULL OR error_kind = $1::text::jsonb ->> 'kind')
AND ($1::text::jsonb ->> 'type' IS NULL OR event_type = $1::text::jsonb ->> 'type')
AND ($1::text::jsonb ->> 'message_id' IS NULL OR message_id = $1::text::jsonb ->> 'message_id')
AND ($1::text::jsonb ->> 'error' IS NULL OR position(lower($1::text::jsonb ->> 'error') IN lower(reason)) > 0)
AND ($1::text::jsonb ->> 'since' IS NULL OR collected_at >= ($1::text::jsonb ->> 'since')::timestamptz)
AND ($1::text::jsonb ->> 'until' IS NULL OR collected_at < ($1::text::jsonb ->> 'until')::timestamptz)
AND ($1::text::jsonb ->> 'up_to_id' IS NULL OR id <= ($1::text::jsonb ->> 'up_to_id')::bigint)
