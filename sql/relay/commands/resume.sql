-- resume: ends pauses and adds their audit rows, and deletes pauses that have ended by themselves;
-- returns the pauses, each with the id of the latest audit row
-- $1: ids, NULL: by what they name; $2: all; $3: aggregate_type; $4: aggregate_id; $5: event_type, as
-- they name it, NULL where they don't; $6: actor; $7: reason; $8: the operation
WITH operation AS MATERIALIZED (
    SELECT $8::uuid AS id
),
gone AS (
    DELETE FROM {pauses} WHERE until <= now()
),
ended AS (
    DELETE FROM {pauses}
    WHERE (until IS NULL OR until > now())
      AND CASE
              WHEN $2::boolean THEN true
              WHEN $1::bigint[] IS NOT NULL THEN id = ANY ($1)
              ELSE aggregate_type IS NOT DISTINCT FROM $3::text
                  AND aggregate_id IS NOT DISTINCT FROM $4::text
                  AND event_type IS NOT DISTINCT FROM $5::text
          END
    RETURNING *
),
noted AS (
    INSERT INTO {audit} (actor, action, reason, detail, operation_id)
    SELECT $6::text, 'resume', $7::text, to_jsonb(ended), (SELECT operation.id FROM operation)
    FROM ended
    ORDER BY id
    RETURNING id
)
SELECT {pause_json},
       (SELECT max(noted.id) FROM noted) AS audit_id
FROM ended
ORDER BY id
