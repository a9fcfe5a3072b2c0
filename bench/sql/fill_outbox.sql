-- fill_outbox: adds pending events in one transaction, with increasing ids like UUIDv7
-- $1: how many; $2: their aggregate_type; $3: their aggregate_id, NULL for a separate one each;
-- $4: event_type; $5: payload; $6: the percentage with a type that no queue is bound for
INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload)
SELECT encode(
           overlay(
               uuid_send(gen_random_uuid())
               PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
               FROM 1 FOR 6
           ),
           'hex'
       )::uuid,
       $2::text,
       coalesce($3::text, gen_random_uuid()::text),
       CASE WHEN n % 100 < $6::bigint THEN 'nobody.listens' ELSE $4::text END,
       $5::text::jsonb
FROM generate_series(1, $1::bigint) AS n
