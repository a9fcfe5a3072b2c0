-- find_deaths: the earlier deaths of the same message, the latest first, as far as their rows still
-- exist
-- $1: id; $2: at most how many
WITH RECURSIVE death AS (
    SELECT earlier_id AS id, 1 AS number FROM dead_letters WHERE id = $1::bigint AND earlier_id IS NOT NULL
    UNION ALL
    SELECT letter.earlier_id, death.number + 1
    FROM death
    JOIN dead_letters AS letter ON letter.id = death.id
    WHERE letter.earlier_id IS NOT NULL AND death.number < $2::bigint
)
SELECT json_build_object(
           'id', letter.id,
           'state', letter.state,
           'error_kind', letter.error_kind,
           'fingerprint', letter.fingerprint,
           'reason', left(letter.reason, 10000),
           'collected_at', letter.collected_at,
           'settled_at', letter.settled_at,
           'may_have_arrived', letter.may_have_arrived
       )::text
FROM death
JOIN dead_letters AS letter ON letter.id = death.id
ORDER BY death.number
