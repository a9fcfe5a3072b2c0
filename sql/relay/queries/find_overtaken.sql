-- find_overtaken: audit rows that keep an event as it was before a person changed or deleted it, of
-- events that were sent
-- What was sent may include a change already: an event that is edited and due again can be
-- published before the change is looked for.
-- Ids are compared as text: what somebody else wrote into the table need not be a number.
-- $1: above which audit row; $2: up to which; $3: the events that were sent, by id, and for each
-- the audit row up to which its contents include all changes; $4: how many rows at the most
SELECT id
FROM {audit}
WHERE id > $1::bigint AND id <= $2::bigint AND event IS NOT NULL AND ($3::jsonb ->> (event ->> 'id'))::bigint < id
ORDER BY id
LIMIT $4::bigint
