-- is_in_audit: whether an audit row is about a dead letter and of an operation, and is listed behind
-- an id; indexes have each of these
-- $4: the dead letter, $9: the operation, $5: below which id; NULL: any
($4::bigint IS NULL OR dead_letter_id = $4)
AND ($9::uuid IS NULL OR operation_id = $9)
AND ($5::bigint IS NULL OR id < $5)
