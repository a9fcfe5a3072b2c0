-- matches_group: whether a dead letter meets the conditions on queue, cause and type
-- $1: the conditions as a JSON object of text; one that is left out admits any
($1::text::jsonb ->> 'queue' IS NULL OR queue = $1::text::jsonb ->> 'queue')
AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR fingerprint = $1::text::jsonb ->> 'fingerprint')
AND ($1::text::jsonb ->> 'kind' IS NULL OR error_kind = $1::text::jsonb ->> 'kind')
AND ($1::text::jsonb ->> 'type' IS NULL OR event_type = $1::text::jsonb ->> 'type')
