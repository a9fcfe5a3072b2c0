-- is_in_audit: whether an audit row is about an event and of an operation, and is listed behind an id;
-- indexes have each of these
-- $4: event_id, $9: operation, $5: below which id; NULL: any
($4::uuid IS NULL OR event_id = $4)
AND ($9::uuid IS NULL OR {operation_id} = $9)
AND ($5::bigint IS NULL OR id < $5)
