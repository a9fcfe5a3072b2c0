-- highest_unsettled: the highest id, up to a bound, of an event that was not tried yet; ignores
-- events of the aggregate type 'failing'
-- $1: the bound: everything above is known to be settled; $2: the lowest id
SELECT id
FROM outbox
WHERE id BETWEEN $2::bigint AND $1::bigint AND published_at IS NULL AND next_attempt_at IS NULL AND aggregate_type <> 'failing'
ORDER BY id DESC
LIMIT 1
