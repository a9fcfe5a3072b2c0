-- Least-privilege roles of the API (customer_api), the consumer (customer_consumer), and of whoever asks which events it has counted
-- (customer_inbox: `outbox-relay where`, `reconcile` and the console). Run this in the customer database after
-- `customer-service migrate`, as a superuser or as the owner of the database and its tables (with CREATEROLE while the roles don't exist),
-- and start both processes as their roles with MIGRATE_ON_START=false. It can be run again, which renews privileges and limits:
--
--     customer-service roles | psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction
--
-- Each may log in once they have a password (in psql):
--
--     \password customer_api
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['customer_api', 'customer_consumer', 'customer_inbox'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted);
            EXCEPTION
                -- A concurrent session, perhaps in another database, has created it.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO customer_api, customer_consumer, customer_inbox', current_database());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO customer_api, customer_consumer, customer_inbox',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'customers'::regclass)
    );
    -- Limits of the API's sessions, for poolers that don't pass on startup options. Options that the API sends take precedence. The consumer
    -- sets its own in each session.
    BEGIN
        EXECUTE format('ALTER ROLE customer_api IN DATABASE %I SET statement_timeout = ''5s''', current_database());
        EXECUTE format('ALTER ROLE customer_api IN DATABASE %I SET idle_in_transaction_session_timeout = ''5s''', current_database());
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'no right to set limits for customer_api: log in as that role and set them (ALTER ROLE CURRENT_USER SET …)';
    END;
END
$$;

-- The API reads and inserts customers. It neither updates nor deletes them; counters start at 0.
GRANT SELECT (id, name, address, orders_count), INSERT (id, name, address) ON customers TO customer_api;

-- The consumer updates counters. It reads no names and addresses.
GRANT SELECT (id, orders_count), UPDATE (orders_count) ON customers TO customer_consumer;

-- It inserts the ids of counted events and prunes old ones.
GRANT SELECT, INSERT (event_id), DELETE ON processed_events TO customer_consumer;

-- Whoever asks for events reads their ids alone.
GRANT SELECT (event_id) ON processed_events TO customer_inbox;
