-- pause: adds a pause and its audit row, unless too many are active, and deletes pauses that have ended
-- by themselves; returns the pause and the id of the audit row
-- $1: aggregate_type; $2: aggregate_id; $3: event_type; NULL: any; $4: the seconds that it lasts; $5:
-- when it ends; without both a person ends it; $6: actor; $7: reason; $8: how many may be active;
-- $9: the operation
WITH ended AS (
    DELETE FROM {pauses} WHERE until <= now()
),
added AS (
    INSERT INTO {pauses} (aggregate_type, aggregate_id, event_type, until, actor, reason)
    SELECT $1::text,
           $2::text,
           $3::text,
           coalesce($5::timestamptz, now() + $4::double precision * interval '1 second'),
           $6::text,
           $7::text
    WHERE (SELECT count(*) FROM {pauses} WHERE until IS NULL OR until > now()) < $8::bigint
      -- By this server's clock.
      AND coalesce($5::timestamptz > now(), true)
    RETURNING *
),
noted AS (
    INSERT INTO {audit} (actor, action, reason, detail, operation_id)
    SELECT actor, 'pause', reason, to_jsonb(added), $9::uuid
    FROM added
    RETURNING id
)
SELECT {pause_json},
       (SELECT noted.id FROM noted) AS audit_id
FROM added
