-- pgbench_functions: values that the service generates and pgbench can't: time-ordered ids, and a
-- customer's id. The planner inlines the functions
CREATE FUNCTION bench_uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(
        overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6
        ),
        'hex'
    )::uuid
$$;
CREATE FUNCTION bench_customer(number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid
$$
