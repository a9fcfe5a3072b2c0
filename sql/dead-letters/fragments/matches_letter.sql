-- matches_letter: whether a dead letter meets the other conditions
-- $1: the conditions as a JSON object of text; one that is left out admits any
($1::text::jsonb ->> 'message_id' IS NULL OR message_id = $1::text::jsonb ->> 'message_id')
AND ($1::text::jsonb ->> 'error' IS NULL OR position(lower($1::text::jsonb ->> 'error') IN lower(reason)) > 0)
AND ($1::text::jsonb ->> 'since' IS NULL OR collected_at >= ($1::text::jsonb ->> 'since')::timestamptz)
AND ($1::text::jsonb ->> 'until' IS NULL OR collected_at < ($1::text::jsonb ->> 'until')::timestamptz)
AND ($1::text::jsonb ->> 'up_to_id' IS NULL OR id <= ($1::text::jsonb ->> 'up_to_id')::bigint)
