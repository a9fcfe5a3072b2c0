-- Roles that may do what their work takes and nothing else: outbox_relay for the relay, outbox_writer for whatever writes events,
-- three for people: outbox_viewer looks, outbox_operator mends as well, outbox_admin also destroys; and outbox_console for the console.
-- Run it in the outbox's database, after the outbox was made there, as a superuser or as the owner of the database and the outbox
-- (who needs CREATEROLE while the roles don't exist yet). Running it again does no harm:
--
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f sql/roles.sql
--
-- Roles belong to the whole server, not to one database. The first two may log in, but not before they have a password (in psql):
--
--     \password outbox_relay
--
-- or lend what they may do to a login that is there already:
--
--     GRANT outbox_writer TO shop_service;
--
-- The three for people can't log in: each person has a login of their own, which outbox_audit names, and is granted one of them:
--
--     GRANT outbox_operator TO alice;
--
-- outbox_console may log in too, once it has a password. By itself it may do nothing: it is a member of these three without inheriting
-- from them, and each command of the console takes the one of the person who asked for it, with SET LOCAL ROLE.
DO $$
DECLARE
    wanted text;
    attributes text;
    including text;
    included text;
BEGIN
    FOR wanted, attributes IN
        VALUES ('outbox_relay', 'LOGIN'),
               ('outbox_writer', 'LOGIN'),
               ('outbox_viewer', 'NOLOGIN'),
               ('outbox_operator', 'NOLOGIN'),
               ('outbox_admin', 'NOLOGIN'),
               ('outbox_console', 'LOGIN NOINHERIT')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted, attributes);
            EXCEPTION
                -- Somebody else was faster, in another database perhaps.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    -- Who mends may look, and who destroys may mend. The console may become each of them.
    FOR including, included IN
        VALUES ('outbox_operator', 'outbox_viewer'),
               ('outbox_admin', 'outbox_operator'),
               ('outbox_console', 'outbox_viewer'),
               ('outbox_console', 'outbox_operator'),
               ('outbox_console', 'outbox_admin')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_auth_members WHERE roleid = included::regrole AND member = including::regrole) THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I', included, including);
            EXCEPTION
                WHEN unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    -- The console connects before it takes a role.
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO outbox_relay, outbox_writer, outbox_viewer, outbox_console', current_database());
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO outbox_relay, outbox_writer, outbox_viewer',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
    );
END
$$;

-- The relay reads events, notes what became of them, and prunes those that were published long ago. It can't add or change any.
GRANT SELECT, DELETE ON outbox TO outbox_relay;
GRANT UPDATE (published_at, attempts, next_attempt_at, last_error, error_kind, error_fingerprint) ON outbox TO outbox_relay;

-- It writes down what people do to events with its commands, and looks again when it finds something new there.
GRANT SELECT, INSERT ON outbox_audit TO outbox_relay;
-- It deletes nothing there, unless OUTBOX_AUDIT_RETENTION is set. Then:
--     GRANT DELETE ON outbox_audit TO outbox_relay;

-- It notes there what it can't write into an event's row.
GRANT SELECT, INSERT, DELETE ON outbox_unsettled TO outbox_relay;
GRANT UPDATE (outcome, kind, reason) ON outbox_unsettled TO outbox_relay;

-- It pauses and resumes with its commands, and relays respect that.
GRANT SELECT, INSERT, DELETE ON outbox_pauses TO outbox_relay;

GRANT SELECT ON outbox_pending TO outbox_relay;
GRANT SELECT ON outbox_stuck TO outbox_relay;
GRANT SELECT ON outbox_lag TO outbox_relay;
GRANT SELECT ON outbox_relays TO outbox_relay;
GRANT SELECT ON outbox_published_last_minute TO outbox_relay;

-- An outbox that an older schema made has no such view.
DO $$
BEGIN
    GRANT SELECT ON outbox_failures TO outbox_relay, outbox_viewer;
EXCEPTION
    WHEN undefined_table THEN NULL;
END
$$;

-- A writer adds events, for later if need be (next_attempt_at), and can't read any, not even its own: INSERT ... RETURNING needs SELECT.
GRANT INSERT (event_id, aggregate_type, aggregate_id, event_type, payload, headers, next_attempt_at) ON outbox TO outbox_writer;

-- A viewer looks, and changes nothing.
GRANT SELECT ON outbox TO outbox_viewer;
GRANT SELECT ON outbox_audit TO outbox_viewer;
GRANT SELECT ON outbox_unsettled TO outbox_viewer;
GRANT SELECT ON outbox_pauses TO outbox_viewer;
GRANT SELECT ON outbox_pending TO outbox_viewer;
GRANT SELECT ON outbox_stuck TO outbox_viewer;
GRANT SELECT ON outbox_lag TO outbox_viewer;
GRANT SELECT ON outbox_relays TO outbox_viewer;
GRANT SELECT ON outbox_published_last_minute TO outbox_viewer;

-- An operator mends: retries and edits events, and replays them. What it did, it adds to the audit table; when, and as which login, the
-- database fills in. It can't add, delete or settle an event.
GRANT UPDATE (event_type, payload, headers, next_attempt_at) ON outbox TO outbox_operator;
GRANT INSERT (actor, action, reason, event_id, event, detail, operation_id) ON outbox_audit TO outbox_operator;
GRANT INSERT, DELETE ON outbox_pauses TO outbox_operator;

-- An administrator also destroys: discards events (and restores them), prunes them, and erases copies. It deletes no audit row.
GRANT DELETE ON outbox TO outbox_admin;
GRANT INSERT (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at, next_attempt_at) ON outbox TO outbox_admin;
GRANT UPDATE (event, detail) ON outbox_audit TO outbox_admin;
