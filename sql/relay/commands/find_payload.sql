-- find_payload: the payload of an event as the table holds it, laid out for people or not, and how long it is
-- $1: its event_id; $2: laid out, and no more than this many characters; NULL: all of it as it is
SELECT CASE WHEN $2::integer IS NULL THEN payload::text ELSE left(jsonb_pretty(payload), $2) END AS payload,
       CASE WHEN $2::integer IS NULL THEN false ELSE length(jsonb_pretty(payload)) > $2 END AS cut,
       octet_length(payload::text)::bigint AS bytes
FROM {outbox}
WHERE event_id = $1::uuid
