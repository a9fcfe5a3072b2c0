-- highest_unsettled: the highest id, from one downwards, of an event that was not tried yet; events of the type 'failing' do not count
-- $1: where to begin: what lies above was seen to be settled, and is not looked at again; $2: the lowest of them
SELECT id
FROM outbox
WHERE id BETWEEN $2::bigint AND $1::bigint AND published_at IS NULL AND next_attempt_at IS NULL AND aggregate_type <> 'failing'
ORDER BY id DESC
LIMIT 1
