-- is_in_group: whether the row `outbox` is a failed event of the cause and the type of `grouped`; in
-- the index of failures these are a range
outbox.published_at IS NULL
AND outbox.next_attempt_at IS NOT NULL
AND outbox.error_kind = grouped.error_kind
AND outbox.error_fingerprint = grouped.error_fingerprint
AND left(outbox.event_type, 255) = grouped.event_type
