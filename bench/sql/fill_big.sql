-- fill_big: adds pending events with payloads of random digits, which compress badly
-- $1: how many; $2: bytes of each payload
INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
SELECT 'order',
       gen_random_uuid()::text,
       'order.created',
       jsonb_build_object(
           'digits',
           (SELECT string_agg(md5(event || '.' || piece), '') FROM generate_series(1, $2::bigint / 32) AS piece)
       )
FROM generate_series(1, $1::bigint) AS event
