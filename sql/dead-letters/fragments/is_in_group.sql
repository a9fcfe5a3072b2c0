-- is_in_group: whether a dead letter is an open one of the group `grouped`
-- A range of the index by cause, put so that only this one has its order: with an equality of each
-- column the planner may take the index by id, and read all that is not in the group.
state = 'open'
AND queue = grouped.queue
AND (error_kind, fingerprint, event_type) >= (grouped.error_kind, grouped.fingerprint, grouped.event_type)
AND (error_kind, fingerprint, event_type) <= (grouped.error_kind, grouped.fingerprint, grouped.event_type)
