-- adopt_redelivered: finds the rows of redelivered messages among those that earlier sessions
-- stored and did not acknowledge, and assigns them to this session; each row to one message.
-- Returns the tags of the deliveries that have a row
-- $1: the dead-letter queue; $2: the session; $3: identities; $4: delivery tags
WITH redelivered AS (
    SELECT identity, tag, row_number() OVER (PARTITION BY identity ORDER BY tag) AS number
    FROM unnest($3::bytea[], $4::bigint[]) AS message (identity, tag)
),
unacknowledged AS MATERIALIZED (
    SELECT row.id, row.identity, row_number() OVER (PARTITION BY row.identity ORDER BY row.id) AS number
    FROM dead_letters_sessions AS session
    JOIN dead_letters AS row ON row.collector_session = session.id AND row.delivery_tag > session.acknowledged_up_to
    WHERE session.queue = $1::text AND session.id <> $2::uuid AND row.identity = ANY ($3::bytea[])
)
UPDATE dead_letters AS row
SET collector_session = $2::uuid, delivery_tag = redelivered.tag
FROM unacknowledged
JOIN redelivered USING (identity, number)
WHERE row.id = unacknowledged.id
RETURNING redelivered.tag
