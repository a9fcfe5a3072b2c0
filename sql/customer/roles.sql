-- Two roles that may do what their work takes and nothing else: customer_api for the API, customer_consumer for the consumer. Run it
-- in the customer database after `customer-service migrate`, as a superuser or as the owner of the database and its tables (who needs
-- CREATEROLE while the roles don't exist yet), and start both as these roles with MIGRATE_ON_START=false. Running it again sets its rights and limits anew:
--
--     customer-service roles | psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction
--
-- Both may log in, but not before they have a password (in psql):
--
--     \password customer_api
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['customer_api', 'customer_consumer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted);
            EXCEPTION
                -- Somebody else was faster, in another database perhaps.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO customer_api, customer_consumer', current_database());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO customer_api, customer_consumer',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'customers'::regclass)
    );
    -- Limits for each session of the API, also where a pooler passes on no startup options. Where the API sends its own, those win. The
    -- consumer sets its own in each session.
    BEGIN
        EXECUTE format('ALTER ROLE customer_api IN DATABASE %I SET statement_timeout = ''5s''', current_database());
        EXECUTE format('ALTER ROLE customer_api IN DATABASE %I SET idle_in_transaction_session_timeout = ''5s''', current_database());
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'no right to set limits for customer_api: log in as that role and set them (ALTER ROLE CURRENT_USER SET …)';
    END;
END
$$;

-- The API shows customers and adds new ones, whose counter begins at 0. It changes and deletes none.
GRANT SELECT (id, name, address, orders_count), INSERT (id, name, address) ON customers TO customer_api;

-- The consumer adds to counters, and reads no name or address.
GRANT SELECT (id, orders_count), UPDATE (orders_count) ON customers TO customer_consumer;

-- It remembers events, and forgets those of long ago.
GRANT SELECT, INSERT (event_id), DELETE ON processed_events TO customer_consumer;
