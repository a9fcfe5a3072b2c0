-- order_service: a role that may do what the order service's work takes and nothing else. Run it in the order database after
-- `order-service migrate`, as a superuser or as the owner of the database and its tables (who needs CREATEROLE while the role
-- doesn't exist yet), and start the order service as that role with MIGRATE_ON_START=false. Running it again sets its rights and limits anew:
--
--     order-service roles | psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction
--
-- It may log in, but not before it has a password (in psql):
--
--     \password order_service
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'order_service') THEN
        BEGIN
            CREATE ROLE order_service LOGIN;
        EXCEPTION
            -- Somebody else was faster, in another database perhaps.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO order_service', current_database());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO order_service',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'orders'::regclass)
    );
    -- Limits for each session, also where a pooler passes on no startup options. Where the service sends its own, those win.
    BEGIN
        EXECUTE format('ALTER ROLE order_service IN DATABASE %I SET statement_timeout = ''5s''', current_database());
        EXECUTE format('ALTER ROLE order_service IN DATABASE %I SET idle_in_transaction_session_timeout = ''5s''', current_database());
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'no right to set limits for order_service: log in as that role and set them (ALTER ROLE CURRENT_USER SET …)';
    END;
END
$$;

-- It takes orders, shows them, and moves them on. It changes nothing else of an order, and deletes none.
GRANT SELECT ON orders TO order_service;
GRANT INSERT (id, customer_public_id, product_name, quantity, price, delivery_address) ON orders TO order_service;
GRANT UPDATE (status, updated_at) ON orders TO order_service;

-- It remembers keys, uses one again after a day, and forgets old ones.
GRANT SELECT, INSERT (key, order_id), UPDATE (order_id, created_at), DELETE ON idempotency_keys TO order_service;

-- It adds events and can't read, change or delete any, not even its own.
GRANT INSERT (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at) ON outbox TO order_service;
