-- find_applied: those of some events that an inbox has
-- $1: event_ids as text, cast to the key's type, so that its index is used
SELECT {key}::text FROM {table} WHERE {key} = ANY ($1::text[]::{type}[])
