-- Least-privilege roles of the desk: dead_letters_collector for the collector; three for people:
-- dead_letters_viewer may read, dead_letters_operator may also edit, note and return,
-- dead_letters_admin may also discard and forget; and dead_letters_console for the console. Run it
-- in the database of the desk, after its tables exist, as a superuser or as the owner of the
-- database and the tables (who needs CREATEROLE while the roles don't exist yet). Running it again
-- is safe:
--
--     outbox-relay dead-letters schema --roles | psql "$DEAD_LETTERS_DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction
--
-- Roles belong to the whole server, not to one database. The first one may log in, once it has a
-- password (in psql):
--
--     \password dead_letters_collector
--
-- The three for people can't log in. Each person has a login of their own, which dead_letters_audit
-- records, and is granted one of the three:
--
--     GRANT dead_letters_operator TO alice;
--
-- dead_letters_console may log in too, once it has a password. It has no privilege of its own: it is
-- a member of these three without inheriting from them, and each command of the console takes that
-- of the person who asked for it, with SET LOCAL ROLE.
DO $$
DECLARE
    wanted text;
    attributes text;
    including text;
    included text;
BEGIN
    FOR wanted, attributes IN
        VALUES ('dead_letters_collector', 'LOGIN'),
               ('dead_letters_viewer', 'NOLOGIN'),
               ('dead_letters_operator', 'NOLOGIN'),
               ('dead_letters_admin', 'NOLOGIN'),
               ('dead_letters_console', 'LOGIN NOINHERIT')
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted, attributes);
            EXCEPTION
                -- Created concurrently, perhaps from another database.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    -- Operators include viewers, and administrators include operators. The console may become each.
    FOR including, included IN
        VALUES ('dead_letters_operator', 'dead_letters_viewer'),
               ('dead_letters_admin', 'dead_letters_operator'),
               ('dead_letters_console', 'dead_letters_viewer'),
               ('dead_letters_console', 'dead_letters_operator'),
               ('dead_letters_console', 'dead_letters_admin')
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
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO dead_letters_collector, dead_letters_viewer, dead_letters_console',
        current_database()
    );
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %s TO dead_letters_collector, dead_letters_viewer',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'dead_letters'::regclass)
    );
END
$$;

-- The collector adds open rows, assigns them to a later session after a crash, and deletes settled
-- ones after DEAD_LETTERS_RETENTION. It reads neither bodies nor headers, and changes nothing that
-- people see.
GRANT INSERT (queue, collector_session, delivery_tag, identity, return_to, message_id, event_type, exchange, routing_key, body,
              content_type, content_header, properties, headers, error_kind, reason, fingerprint, tries, first_failed_at, last_failed_at,
              redelivered, earlier_id, returns)
    ON dead_letters TO dead_letters_collector;
GRANT SELECT (id, queue, identity, state, may_have_arrived, settled_at, returns, collected_at, collector_session, delivery_tag) ON dead_letters
    TO dead_letters_collector;
GRANT UPDATE (collector_session, delivery_tag) ON dead_letters TO dead_letters_collector;
GRANT DELETE ON dead_letters TO dead_letters_collector;
GRANT SELECT, INSERT, DELETE ON dead_letters_sessions TO dead_letters_collector;
GRANT UPDATE (acknowledged_up_to) ON dead_letters_sessions TO dead_letters_collector;

-- A trigger limits its DELETE to settled rows, which no privilege can express. It does not restrict
-- administrators, nor anybody while the roles are missing, as after a restore on another server.
CREATE OR REPLACE FUNCTION dead_letters_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_has_role(current_user, to_regrole('dead_letters_collector')::oid, 'USAGE')
       AND pg_has_role(current_user, to_regrole('dead_letters_admin')::oid, 'USAGE') IS NOT TRUE
    THEN
        RAISE EXCEPTION 'permission denied to delete dead letters that are not settled' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
DROP TRIGGER IF EXISTS dead_letters_refuse_delete ON dead_letters;
CREATE TRIGGER dead_letters_refuse_delete BEFORE DELETE ON dead_letters FOR EACH ROW
    WHEN (OLD.state NOT IN ('returned', 'discarded'))
    EXECUTE FUNCTION dead_letters_refuse_delete();

-- Nor can privileges express what operators may change: only a returning row becomes returned, with
-- the current time; a settled row stays settled; and the first edit keeps what was collected.
CREATE OR REPLACE FUNCTION dead_letters_guard_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_has_role(current_user, to_regrole('dead_letters_operator')::oid, 'USAGE') IS NOT TRUE
       OR pg_has_role(current_user, to_regrole('dead_letters_admin')::oid, 'USAGE')
    THEN
        RETURN NEW;
    END IF;
    IF OLD.state IN ('returned', 'discarded')
       AND (NEW.state, NEW.settled_at, NEW.body, NEW.content_header)
           IS DISTINCT FROM (OLD.state, OLD.settled_at, OLD.body, OLD.content_header)
    THEN
        RAISE EXCEPTION 'permission denied to change dead letters that are settled' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.state = 'returned' AND OLD.state <> 'returned' THEN
        IF OLD.state <> 'returning' THEN
            RAISE EXCEPTION 'permission denied to settle dead letters that were not returned'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        NEW.settled_at := clock_timestamp();
    END IF;
    IF OLD.original IS NULL AND (NEW.body, NEW.content_header) IS DISTINCT FROM (OLD.body, OLD.content_header) THEN
        NEW.original := jsonb_build_object(
            'body', translate(encode(OLD.body, 'base64'), E'\n', ''),
            'content_header', translate(encode(OLD.content_header, 'base64'), E'\n', '')
        );
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS dead_letters_guard_update ON dead_letters;
CREATE TRIGGER dead_letters_guard_update BEFORE UPDATE ON dead_letters FOR EACH ROW EXECUTE FUNCTION dead_letters_guard_update();

-- A viewer may read, and change nothing.
GRANT SELECT ON dead_letters TO dead_letters_viewer;
GRANT SELECT ON dead_letters_audit TO dead_letters_viewer;
GRANT SELECT ON dead_letters_open TO dead_letters_viewer;
GRANT SELECT ON dead_letters_open_groups TO dead_letters_viewer;
GRANT SELECT ON dead_letters_old TO dead_letters_viewer;

-- An operator edits, notes and returns dead letters, and adds rows to the audit table, where the
-- database fills in the time and the login. It can't add or delete a dead letter.
GRANT UPDATE (body, content_header, headers, original, state, may_have_arrived, settled_at, note) ON dead_letters TO dead_letters_operator;
GRANT INSERT (actor, action, reason, dead_letter_id, before, after, detail, operation_id) ON dead_letters_audit TO dead_letters_operator;

-- An administrator also discards dead letters, and erases contents from rows and from the audit
-- table. It deletes no row of either.
GRANT UPDATE (identity, exchange, routing_key, event_type, content_type, properties, reason) ON dead_letters TO dead_letters_admin;
GRANT UPDATE (before, after, detail, reason) ON dead_letters_audit TO dead_letters_admin;

-- A reason in the audit table may name a person, and can then be erased. Nobody rewrites one, which
-- privileges can't express.
CREATE OR REPLACE FUNCTION dead_letters_keep_reason() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'permission denied to rewrite reasons: they can only be erased' USING ERRCODE = 'insufficient_privilege';
END
$$;
DROP TRIGGER IF EXISTS dead_letters_keep_reason ON dead_letters_audit;
CREATE TRIGGER dead_letters_keep_reason BEFORE UPDATE OF reason ON dead_letters_audit FOR EACH ROW
    WHEN (NEW.reason IS DISTINCT FROM OLD.reason AND NEW.reason IS NOT NULL)
    EXECUTE FUNCTION dead_letters_keep_reason();

-- Operators need to change the column state to return, and original to edit. A trigger has to
-- ensure that only an administrator discards a dead letter or reopens a discarded one, and that
-- what was collected stays: column privileges can't express that.
CREATE OR REPLACE FUNCTION dead_letters_refuse_destruction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.original IS DISTINCT FROM OLD.original THEN
        RAISE EXCEPTION 'permission denied to change what was collected' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RAISE EXCEPTION 'permission denied to discard dead letters' USING ERRCODE = 'insufficient_privilege';
END
$$;
DROP TRIGGER IF EXISTS dead_letters_refuse_destruction ON dead_letters;
CREATE TRIGGER dead_letters_refuse_destruction BEFORE UPDATE OF state, original ON dead_letters FOR EACH ROW
    WHEN (
        (
            (NEW.state = 'discarded') IS DISTINCT FROM (OLD.state = 'discarded')
            OR (OLD.original IS NOT NULL AND NEW.original IS DISTINCT FROM OLD.original)
        )
        AND pg_has_role(current_user, 'dead_letters_operator', 'USAGE')
        AND NOT pg_has_role(current_user, 'dead_letters_admin', 'USAGE')
    )
    EXECUTE FUNCTION dead_letters_refuse_destruction();
