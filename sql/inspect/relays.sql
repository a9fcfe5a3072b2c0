-- relays: which relays are at work, and how many of the 64 lanes each owns   (order database)
SELECT pid, relay, client_addr, lanes, date_trunc('seconds', now() - connected_at) AS connected_for
FROM outbox_relays;
