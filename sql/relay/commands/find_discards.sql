-- find_discards: why events can't be restored: whether each is in the outbox, and what the audit
-- table has of its latest discard or restore
-- $1: event_ids
SELECT named.event_id,
       EXISTS (SELECT FROM {outbox} AS event WHERE event.event_id = named.event_id) AS is_in_outbox,
       latest.action,
       coalesce(latest.event ? 'payload', false) AS has_contents
FROM unnest($1::uuid[]) AS named (event_id)
LEFT JOIN LATERAL (
    SELECT action, event
    FROM {audit} AS entry
    WHERE entry.event_id = named.event_id AND action IN ('discard', 'restore')
    ORDER BY id DESC
    LIMIT 1
) AS latest ON true
