-- count_digits: events whose numbers alone are longer, written out, than a message may be: a few
-- bytes stand for 100,000 digits. To make text of them takes seconds in which the server heeds no
-- limit; this heeds it
-- $1: ids; $2: bytes of a payload at the most
SELECT id, digits
FROM (
    SELECT id, (
        SELECT sum(
            scale(number)
            + CASE
                WHEN abs(number) >= 1e100000 THEN 100000
                WHEN abs(number) >= 1e10000 THEN 10000
                WHEN abs(number) >= 1e1000 THEN 1000
                ELSE 0
            END
        )::bigint
        FROM (VALUES (payload::jsonb), (headers::jsonb)) AS part (json)
        CROSS JOIN jsonb_array_elements(jsonb_path_query_array(part.json, 'strict $.** ? (@.type() == "number")')) AS value
        CROSS JOIN LATERAL (SELECT value::numeric AS number) AS written
    ) AS digits
    FROM {outbox}
    WHERE id = ANY ($1::bigint[])
      -- Put so that no index of pending events fits: one that has the id in second place would be
      -- read as a whole for each id.
      AND CASE WHEN published_at IS NULL THEN true ELSE false END
    OFFSET 0
) AS counted
WHERE digits > $2::bigint
