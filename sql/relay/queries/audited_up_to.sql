-- audited_up_to: the latest row of the audit table
SELECT max(id) AS audited FROM {audit}
