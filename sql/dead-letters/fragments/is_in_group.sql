-- is_in_group: whether a dead letter is an open one of the group `grouped`
-- The type is a range, for which only the index by cause has an order: with an equality for each
-- column the planner may choose the index by id, and read all rows outside the group. A range of
-- several columns would not end there: a scan ends by the first of them.
state = 'open'
AND queue = grouped.queue
AND error_kind = grouped.error_kind
AND fingerprint = grouped.fingerprint
AND event_type >= grouped.event_type
AND event_type <= grouped.event_type
