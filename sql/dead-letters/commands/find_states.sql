-- find_states: the state of each dead letter that exists, who changed it last, whether its
-- return_to is unknown, and whether it is forgotten
-- $1: ids
SELECT letter.id,
       letter.state,
       latest.actor,
       letter.return_to IS NULL AS has_no_way_back,
       octet_length(letter.content_header) = 0 AS is_forgotten
FROM dead_letters AS letter
LEFT JOIN LATERAL (
    SELECT actor FROM dead_letters_audit WHERE dead_letter_id = letter.id ORDER BY id DESC LIMIT 1
) AS latest ON true
WHERE letter.id = ANY ($1::bigint[])
