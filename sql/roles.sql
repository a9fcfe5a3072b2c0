-- Two roles that may do what their work takes and nothing else: outbox_relay for the relay, outbox_writer for whatever writes events.
-- Run it in the outbox's database, after the outbox was made there, as a superuser or as the owner of the database and the outbox
-- (who needs CREATEROLE while the roles don't exist yet). Running it again does no harm:
--
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f sql/roles.sql
--
-- Roles belong to the whole server, not to one database. Both may log in, but not before they have a password (in psql):
--
--     \password outbox_relay
--
-- or lend what they may do to a login that is there already:
--
--     GRANT outbox_writer TO shop_service;
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['outbox_relay', 'outbox_writer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted);
            EXCEPTION
                -- Somebody else was faster, in another database perhaps.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO outbox_relay, outbox_writer', current_database());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO outbox_relay, outbox_writer',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
    );
END
$$;

-- The relay reads events, notes what became of them, and prunes those that were published long ago. It can't add or change any.
GRANT SELECT, DELETE ON outbox TO outbox_relay;
GRANT UPDATE (published_at, attempts, next_attempt_at, last_error) ON outbox TO outbox_relay;

-- It writes down what people do to events with its commands, and looks again when it finds something new there.
GRANT SELECT, INSERT ON outbox_audit TO outbox_relay;

-- It notes there what it can't write into an event's row.
GRANT SELECT, INSERT, DELETE ON outbox_unsettled TO outbox_relay;
GRANT UPDATE (outcome, kind, reason) ON outbox_unsettled TO outbox_relay;

GRANT SELECT ON outbox_pending TO outbox_relay;
GRANT SELECT ON outbox_stuck TO outbox_relay;
GRANT SELECT ON outbox_lag TO outbox_relay;
GRANT SELECT ON outbox_relays TO outbox_relay;
GRANT SELECT ON outbox_published_last_minute TO outbox_relay;

-- A writer adds events and can't read any, not even its own: INSERT ... RETURNING needs SELECT.
GRANT INSERT (event_id, aggregate_type, aggregate_id, event_type, payload, headers) ON outbox TO outbox_writer;
