-- page_by_cause: failed events of some causes, the oldest first, with their ids; if the rows that may
-- be read were read before there were enough, the last id up to which all were read comes at the
-- end, without an event; if there are more causes than may be looked at, a row without an id comes
-- first
-- $1: the conditions, a kind or a fingerprint among them; $2: only above this id, NULL: any; $3: at
-- most how many; $4: whether a failed event holds back the later ones of its aggregate; $5: whether a
-- stuck one does; $6: how many rows may be read, shared evenly by the groups; $7: only those in this
-- state (stuck, waiting), NULL: any; $8: how many causes may be looked at
WITH RECURSIVE grouped AS (
    SELECT first.*
    FROM unnest('{returned,nacked,refused,unpublishable}'::text[]) AS of (kind)
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255) AS event_type
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND error_kind = of.kind
          AND error_fingerprint IS NOT NULL
          AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR error_fingerprint = $1::text::jsonb ->> 'fingerprint')
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS first
    WHERE $1::text::jsonb ->> 'kind' IS NULL OR of.kind = $1::text::jsonb ->> 'kind'
    UNION ALL
    SELECT next.*
    FROM grouped
    CROSS JOIN LATERAL (
        SELECT error_kind, error_fingerprint, left(outbox.event_type, 255)
        FROM {outbox} AS outbox
        WHERE published_at IS NULL
          AND next_attempt_at IS NOT NULL
          AND error_kind = grouped.error_kind
          AND (error_fingerprint, left(outbox.event_type, 255)) > (grouped.error_fingerprint, grouped.event_type)
          AND ($1::text::jsonb ->> 'fingerprint' IS NULL OR error_fingerprint = $1::text::jsonb ->> 'fingerprint')
        ORDER BY error_kind, error_fingerprint, left(outbox.event_type, 255)
        LIMIT 1
    ) AS next
),
walked AS MATERIALIZED (
    SELECT * FROM grouped LIMIT (SELECT $8::bigint + 1)
),
wanted AS MATERIALIZED (
    SELECT *
    FROM (SELECT * FROM walked LIMIT (SELECT $8::bigint)) AS looked_at
    WHERE $1::text::jsonb ->> 'type' IS NULL OR event_type = left($1::text::jsonb ->> 'type', 255)
),
reading AS MATERIALIZED (
    SELECT GREATEST($6::bigint / GREATEST(count(*), 1), 100) AS most FROM wanted
),
found AS MATERIALIZED (
    SELECT matching.ids, last_read.id AS read_up_to
    FROM wanted AS grouped
    CROSS JOIN LATERAL (
        SELECT array_agg(id) AS ids, count(*) AS events
        FROM (
            SELECT id
            FROM (
                SELECT {listed_columns}
                FROM {outbox} AS outbox
                WHERE {is_in_group} AND ($2::bigint IS NULL OR id > $2)
                ORDER BY id
                LIMIT (SELECT most FROM reading)
            ) AS read
            WHERE CASE $7::text
                      WHEN 'stuck' THEN next_attempt_at = 'infinity' AND attempts > 0
                      WHEN 'waiting' THEN next_attempt_at > now() AND next_attempt_at < 'infinity' AND attempts > 0
                      ELSE true
                  END
              AND {matches}
            ORDER BY id
            LIMIT $3::bigint
        ) AS event
    ) AS matching
    LEFT JOIN LATERAL (
        SELECT id
        FROM {outbox} AS outbox
        WHERE {is_in_group} AND ($2::bigint IS NULL OR id > $2) AND matching.events < $3
        ORDER BY id
        OFFSET (SELECT most - 1 FROM reading)
        LIMIT 1
    ) AS last_read ON true
),
-- Behind the first group that was not read to its end, rows of it may be missing.
read AS MATERIALIZED (
    SELECT min(read_up_to) AS up_to_id FROM found
),
listed AS MATERIALIZED (
    SELECT {listed_columns}
    FROM {outbox}
    WHERE id = ANY (ARRAY(
        SELECT matching.id
        FROM found
        CROSS JOIN LATERAL unnest(ids) AS matching (id)
        WHERE (SELECT up_to_id FROM read) IS NULL OR matching.id <= (SELECT up_to_id FROM read)
        ORDER BY matching.id
        LIMIT $3::bigint
    ))
),
ahead AS MATERIALIZED ({first_failed})
SELECT event, id, NULL::text AS at
FROM (
    SELECT NULL::text AS event, NULL::bigint AS id WHERE (SELECT count(*) FROM walked) > $8
    UNION ALL
    SELECT {event_json}, listed.id
    FROM listed
    LEFT JOIN ahead ON ahead.key = listed.key AND ahead.id < listed.id
    UNION ALL
    SELECT NULL, up_to_id
    FROM read
    WHERE up_to_id IS NOT NULL AND (SELECT count(*) FROM listed) < $3
) AS page
ORDER BY id IS NOT NULL, event IS NULL, id
