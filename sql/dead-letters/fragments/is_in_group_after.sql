-- is_in_group_after: whether a dead letter is an open one of the group `grouped`, above an id; a range
-- of the index by cause
-- $2: the id, NULL: from the first
state = 'open'
AND queue = grouped.queue
AND (error_kind, fingerprint, event_type, id)
    >= (grouped.error_kind, grouped.fingerprint, grouped.event_type, coalesce($2::bigint, '-9223372036854775808'))
AND (error_kind, fingerprint, event_type) <= (grouped.error_kind, grouped.fingerprint, grouped.event_type)
AND ($2::bigint IS NULL OR id > $2)
