-- find_payload: the payload of an event and its size
-- $1: event_id; $2: indent the payload and cut it off after so many characters; NULL: all of it as
-- it is
SELECT CASE WHEN $2::integer IS NULL THEN payload::text ELSE left(jsonb_pretty(payload), $2) END AS payload,
       CASE WHEN $2::integer IS NULL THEN false ELSE length(jsonb_pretty(payload)) > $2 END AS cut,
       octet_length(payload::text)::bigint AS bytes
FROM {outbox}
WHERE event_id = $1::uuid
