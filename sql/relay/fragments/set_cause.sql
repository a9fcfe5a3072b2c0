-- set_cause: notes in which way an attempt failed, and why, where the outbox has columns for it
error_kind = failure.kind,
error_fingerprint = failure.fingerprint,
