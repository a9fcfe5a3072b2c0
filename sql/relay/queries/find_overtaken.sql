-- find_overtaken: audit rows that keep an event as it was before a person changed or deleted it, of
-- events that were sent
-- The ids are compared as text: what somebody else wrote into the table need not be a number.
-- What was sent may include a change already: an event that is edited and due again can be published
-- before the change is looked for.
-- $1: above which audit row; $2: up to which; $3: ids of the events that were sent; $4: for each the
-- audit row up to which its contents include all changes; $5: how many rows at the most
SELECT DISTINCT audit.id
FROM {audit} AS audit
JOIN unnest($3::text[], $4::bigint[]) AS sent (event, audit_id)
    ON sent.event = audit.event ->> 'id' AND sent.audit_id < audit.id
WHERE audit.id > $1::bigint AND audit.id <= $2::bigint AND audit.event IS NOT NULL
ORDER BY id
LIMIT $5::bigint
