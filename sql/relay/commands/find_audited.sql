-- find_audited: those of some events of which the audit table has rows
-- $1: event_ids
SELECT event_id
FROM unnest($1::uuid[]) AS named (event_id)
WHERE EXISTS (SELECT FROM {audit} AS entry WHERE entry.event_id = named.event_id)
