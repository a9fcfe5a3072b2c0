-- is_in_group: whether a dead letter is an open one of the group `grouped`; in the index by cause
-- these are a range in the order of their ids
state = 'open'
AND queue = grouped.queue
AND error_kind = grouped.error_kind
AND fingerprint = grouped.fingerprint
AND event_type = grouped.event_type
