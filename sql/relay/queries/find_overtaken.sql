-- find_overtaken: audit rows that keep an event as it was before a person changed or deleted it, of
-- events that were sent
-- The ids are compared as text: what somebody else wrote into the table need not be a number.
-- $1: above which audit row; $2: up to which; $3: ids of the events that were sent; $4: how many
-- rows at the most
SELECT id
FROM {audit}
WHERE id > $1::bigint AND id <= $2::bigint AND event IS NOT NULL AND event ->> 'id' = ANY ($3::text[])
ORDER BY id
LIMIT $4::bigint
