-- note_unsettled: notes events whose outcome is known and can't be written into their rows for now
-- $1: event_ids; $2: ids; $3: the outcome of all; $4: what hinders each, 'locked' or
-- 'refused'; $5: what the database said
INSERT INTO {unsettled} (event_id, id, outcome, kind, reason)
SELECT event_id, id, $3::text, kind, reason
FROM unnest($1::uuid[], $2::bigint[], $4::text[], $5::text[]) AS hindered (event_id, id, kind, reason)
ORDER BY event_id
ON CONFLICT (event_id) DO UPDATE SET outcome = excluded.outcome, kind = excluded.kind, reason = excluded.reason
