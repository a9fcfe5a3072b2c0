-- probe_deleting: whether this session may delete any event at all; changes nothing
DELETE FROM {outbox} WHERE false
