-- is_in_group: whether a dead letter is an open one of the group `grouped`
-- Put as a range of the index by cause, and to be read in the order of that index: with equality the
-- planner may take the index of ids, and read all that is open.
state = 'open'
AND (queue, error_kind, fingerprint, event_type)
    >= (grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type)
AND (queue, error_kind, fingerprint, event_type)
    <= (grouped.queue, grouped.error_kind, grouped.fingerprint, grouped.event_type)
