-- matches_cause: the same as to the cause of a failure, where the outbox has columns for it
($1::text::jsonb ->> 'kind' IS NULL OR error_kind = $1::text::jsonb ->> 'kind')
AND (
    $1::text::jsonb ->> 'fingerprint' IS NULL
    -- All kinds, so that the fingerprint is looked up in the index, in which it comes second.
    OR (
        error_kind = ANY ('{returned,nacked,refused,unpublishable}')
        AND error_fingerprint = $1::text::jsonb ->> 'fingerprint'
    )
)
