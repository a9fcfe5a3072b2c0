-- contents_digest: a hash of what a person can edit in an event, by its text: jsonb takes 1.0 and
-- 1.00 for equal
encode(
    sha256(textsend(event_type::text))
    || sha256(textsend(coalesce(headers::text, '')))
    || sha256(textsend(coalesce(payload::text, ''))),
    'hex'
)
