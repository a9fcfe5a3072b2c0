-- forget: erases the contents of returned and discarded dead letters that nobody has locked, from
-- their rows and from the audit table, also of those whose rows retention has deleted; returns the
-- ids of those of which something was erased
-- $1: ids; $2: actor; $3: reason; $4: operation_id; $5: whether to erase the reasons of the audit
-- rows as well, but for those of erasures
WITH free AS MATERIALIZED (
    SELECT id
    FROM dead_letters
    WHERE id = ANY ($1::bigint[]) AND CASE WHEN state IN ('returned', 'discarded') THEN true ELSE false END
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
emptied AS (
    UPDATE dead_letters
    SET body = '', content_header = '', properties = '{}', headers = '{}', original = NULL, identity = '',
        exchange = NULL, routing_key = NULL, content_type = NULL, reason = NULL, note = NULL,
        -- Of a message without the property type it is the routing key.
        event_type = CASE WHEN event_type IS DISTINCT FROM routing_key THEN event_type ELSE '' END
    WHERE id = ANY (ARRAY(SELECT id FROM free))
      AND (
          octet_length(content_header) > 0
          OR original IS NOT NULL
          OR coalesce(exchange, routing_key, content_type, reason, note) IS NOT NULL
      )
    RETURNING id
),
-- The audit table has edited contents and notes, which may be personal data.
bare AS MATERIALIZED (
    SELECT id,
           CASE WHEN before ? 'state' THEN jsonb_build_object('state', before -> 'state') END AS before,
           CASE WHEN after ? 'state' THEN jsonb_build_object('state', after -> 'state') END AS after,
           CASE WHEN NOT $5::boolean OR action = 'forget' THEN reason END AS reason
    FROM dead_letters_audit AS entry
    WHERE dead_letter_id = ANY (ARRAY(SELECT id FROM free))
       OR (
           dead_letter_id = ANY ($1::bigint[])
           AND NOT EXISTS (SELECT FROM dead_letters AS letter WHERE letter.id = entry.dead_letter_id)
       )
),
erased AS (
    UPDATE dead_letters_audit AS entry
    SET before = bare.before, after = bare.after, reason = bare.reason
    FROM bare
    WHERE entry.id = bare.id
      AND (entry.before, entry.after, entry.reason) IS DISTINCT FROM (bare.before, bare.after, bare.reason)
    RETURNING entry.dead_letter_id AS id
),
forgotten AS MATERIALIZED (
    SELECT id FROM emptied UNION SELECT id FROM erased
),
audited AS (
    INSERT INTO dead_letters_audit (actor, action, reason, dead_letter_id, operation_id)
    SELECT $2::text, 'forget', $3::text, id, $4::uuid
    FROM forgotten
    ORDER BY id
)
SELECT id FROM forgotten
