-- audit_replay: adds the audit row of a replay
-- $1: actor; $2: reason; $3: event_id if it is one event; $4: the filter and the number of events;
-- $5: the operation
WITH operation AS (SELECT $5::uuid AS id)
INSERT INTO {audit} (actor, action, reason, event_id, detail{operation_column})
SELECT $1::text, 'replay', $2::text, $3::uuid, $4::text::jsonb{operation_value}
