-- discard_events: deletes pending events that are not locked, and keeps a copy of each in the audit
-- table; returns their event_ids and the ids of their audit rows
-- $1: the conditions that they must still meet; $2: ids; $3: event_ids, as a server that lost the
-- latest rows gives their ids to other events; $4: only stuck ones; $5: actor; $6: reason; $7: the
-- operation
WITH operation AS (SELECT $7::uuid AS id),
free AS MATERIALIZED (
    SELECT id
    FROM {outbox}
    WHERE id = ANY ($2::bigint[])
      AND event_id = ANY ($3::uuid[])
      AND CASE
          -- Put so that no index fits but that of ids: statistics from before a burst would have
          -- all failed events read for each batch.
          WHEN published_at IS NULL
              AND (NOT $4::boolean OR (next_attempt_at = 'infinity' AND attempts > 0))
              AND {matches}
              AND {matches_cause}
          THEN true
          ELSE false
      END
    ORDER BY id
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM {outbox} WHERE id = ANY (ARRAY(SELECT id FROM free)) AND published_at IS NULL RETURNING *
)
INSERT INTO {audit} (actor, action, reason, event_id, event{operation_column})
SELECT $5::text, 'discard', $6::text, event_id, to_jsonb(gone){operation_value}
FROM gone
ORDER BY id
RETURNING event_id, id
