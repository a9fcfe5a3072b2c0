-- latest_audit_id: the latest row of the audit table
SELECT max(id) AS audited FROM {audit}
