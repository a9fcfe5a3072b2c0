-- conditions_columns: what the conditions on dead letters are about, and their places in lists
id, queue, error_kind, fingerprint, event_type, message_id, reason, collected_at, settled_at
