-- is_in_group: whether a dead letter is an open one of the group `grouped`
-- A range of the index by cause, put so that only an order by all its columns is free: with an
-- equality of each the planner would take the index by id, and read all that is not in the group.
state = 'open'
AND (queue, error_kind, fingerprint, event_type) >= (grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type)
AND (queue, error_kind, fingerprint, event_type) <= (grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type)
