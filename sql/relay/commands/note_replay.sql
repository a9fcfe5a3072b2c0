-- note_replay: notes that events are about to be published again, and who wanted it
-- $1: who; $2: why; $3: the event_id when it is one event; $4: what was asked for, and how many events it is
INSERT INTO {audit} (actor, action, reason, event_id, detail) VALUES ($1::text, 'replay', $2::text, $3::uuid, $4::text::jsonb)
