-- customer_consumer: a role that may do what counting takes and nothing else. Run it in the customer database after
-- `customer-service migrate`, as a superuser or as the owner of the database and its tables (who needs CREATEROLE while the role
-- doesn't exist yet), and start the consumer as that role with MIGRATE_ON_START=false. Running it again does no harm:
--
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f sql/customer/roles.sql
--
-- It may log in, but not before it has a password (in psql):
--
--     \password customer_consumer
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'customer_consumer') THEN
        BEGIN
            CREATE ROLE customer_consumer LOGIN;
        EXCEPTION
            -- Somebody else was faster, in another database perhaps.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO customer_consumer', current_database());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO customer_consumer',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'customers'::regclass)
    );
END
$$;

-- It adds to counters, and reads no name or address.
GRANT SELECT (id, orders_count), UPDATE (orders_count) ON customers TO customer_consumer;

-- It remembers events, and forgets those of long ago.
GRANT SELECT, INSERT (event_id), DELETE ON processed_events TO customer_consumer;
