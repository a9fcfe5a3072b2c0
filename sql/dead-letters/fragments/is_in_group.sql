-- is_in_group: whether a dead letter is an open one of the group `grouped` Written as a range that
-- only the index by cause has: with an equality for each column the planner may choose the index by
-- id, and read all rows outside the group.
state = 'open'
AND queue = grouped.queue
AND (error_kind, fingerprint, event_type) >= (grouped.error_kind, grouped.fingerprint, grouped.event_type)
AND (error_kind, fingerprint, event_type) <= (grouped.error_kind, grouped.fingerprint, grouped.event_type)
