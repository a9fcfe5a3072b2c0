-- pause_kind: 2 if the whole aggregate of the row `candidate` is paused, 1 if its events of the
-- same type are, else 0; `pauses` has the pauses, in which NULL stands for any
coalesce((
    SELECT max(CASE WHEN pauses.event_type IS NULL THEN 2 ELSE 1 END)
    FROM pauses
    WHERE (pauses.aggregate_type IS NULL OR pauses.aggregate_type = candidate.aggregate_type)
      AND (pauses.aggregate_id IS NULL OR pauses.aggregate_id = candidate.aggregate_id)
      AND (pauses.event_type IS NULL OR pauses.event_type = candidate.event_type)
), 0)
