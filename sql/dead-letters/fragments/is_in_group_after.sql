-- is_in_group_after: whether a dead letter is an open one of the group `grouped`, above an id; a range
-- of the index by cause, which begins above the id and ends with the type
-- $2: the id, NULL: from the first
state = 'open'
AND queue = grouped.queue
AND error_kind = grouped.error_kind
AND fingerprint = grouped.fingerprint
AND (event_type, id) > (grouped.event_type, coalesce($2::bigint, 0))
AND event_type <= grouped.event_type
