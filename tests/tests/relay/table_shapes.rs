//! Outboxes whose owner has added to them: triggers, checks, foreign keys, policies, columns,
//! partitions, another sequence. Whatever becomes of the row that is concerned, the events of other
//! aggregates, written before and after it, are published and marked.

use anyhow::{Context as _, ensure};
use lapin::message::BasicGetMessage;
use pipeline_tests::outbox::{Outbox, aggregate_id, connect, eventually};
use pipeline_tests::relay_role::ROLES;

/// What becomes of the row that is concerned.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The database refuses it with this SQLSTATE.
    Refused(&'static str),
    /// The database drops it without an error.
    Absent,
    /// Sent once with this routing key, and marked.
    Published(&'static str),
    /// Sent once; that it was is noted beside the table, as its row can't be changed.
    Unsettled,
}

use Fate::{Absent, Published, Refused, Unsettled};

/// A trigger on the row that is concerned, before this.
fn trigger(event: &str, what: &str) -> String {
    format!(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what} END $$;
         CREATE TRIGGER meddle BEFORE {event} ON outbox FOR EACH ROW
             WHEN (NEW.aggregate_id = 'concerned') EXECUTE FUNCTION meddle()"
    )
}

async fn count(outbox: &Outbox, query: &str) -> anyhow::Result<i64> {
    outbox.count(&format!("SELECT count(*) FROM {query}"), &[]).await
}

/// Changes an outbox with `sql`, writes a row of the aggregate `concerned` between two others, and
/// has a relay publish.
async fn meets(sql: &str, fate: Fate) -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.sql.batch_execute(sql).await?;
    meets_in(outbox, fate).await
}

async fn meets_in(outbox: Outbox, fate: Fate) -> anyhow::Result<Outbox> {
    outbox.queue("all", "#").await?;
    outbox.add("before", "order.created").await?;
    let added = outbox.add("concerned", "order.created").await;
    match (fate, added) {
        (Refused(state), Err(error)) => {
            let error = error.downcast::<tokio_postgres::Error>()?;
            let code = error.code().map(tokio_postgres::error::SqlState::code);
            ensure!(code == Some(state), "{error:?}");
        }
        (Refused(_), Ok(_)) => anyhow::bail!("it was not refused"),
        // An INSERT that returns nothing is no error of the database.
        (Absent, _) => {}
        (_, added) => drop(added?),
    }
    outbox.add("after", "order.created").await?;

    let mut relay = outbox.relay(&["--relay-backoff-min=20ms"])?;
    let health = relay.health.clone();
    let done = eventually("each has its fate", async || {
        let neighbours =
            "outbox WHERE aggregate_id IN ('before', 'after') AND published_at IS NOT NULL";
        let (marked, noted) = match fate {
            Published(_) => (1, 0),
            Unsettled => (0, 1),
            Refused(_) | Absent => (0, 0),
        };
        let concerned = "outbox WHERE aggregate_id = 'concerned' AND published_at IS NOT NULL";
        Ok(count(&outbox, neighbours).await? == 2
            && count(&outbox, concerned).await? == marked
            && count(&outbox, "outbox_unsettled").await? == noted)
    });
    let done = relay.work_until(done).await;
    if done.is_err() {
        let sent = outbox.depth("all").await?;
        done.with_context(|| format!("{sent} messages were sent"))?;
    }
    // Whatever would be sent again, would be sent before these.
    for aggregate in ["later", "latest"] {
        outbox.add(aggregate, "order.created").await?;
        let marked =
            format!("outbox WHERE aggregate_id = '{aggregate}' AND published_at IS NOT NULL");
        let marked = async || Ok(count(&outbox, &marked).await? == 1);
        relay.work_until(eventually("it goes on", marked)).await?;
    }
    ensure!(health.is_ready(), "{:?}", health.statuses());

    let messages = outbox.take_all("all").await?;
    let mut sent = messages.iter().map(aggregate_id).collect::<anyhow::Result<Vec<_>>>()?;
    sent.sort_unstable();
    let mut expected = vec!["after", "before", "concerned", "later", "latest"];
    if matches!(fate, Refused(_) | Absent) {
        expected.remove(2);
    }
    ensure!(sent == expected, "{sent:?}");
    if let Published(key) = fate {
        let is_concerned =
            |message: &&BasicGetMessage| aggregate_id(message).is_ok_and(|id| id == "concerned");
        let message = messages.iter().find(is_concerned).context("it was sent")?;
        ensure!(message.delivery.routing_key.as_str() == key, "{:?}", message.delivery);
    }
    Ok(outbox)
}

#[tokio::test]
async fn a_trigger_may_rewrite_drop_or_refuse_what_is_written() -> anyhow::Result<()> {
    let rewrites = trigger("INSERT", "NEW.event_type := 'order.rewritten'; RETURN NEW;");
    meets(&rewrites, Published("order.rewritten")).await?;
    meets(&trigger("INSERT", "RETURN NULL;"), Absent).await?;
    meets(&trigger("INSERT", "RAISE 'not today';"), Refused("P0001")).await?;
    Ok(())
}

#[tokio::test]
async fn a_trigger_may_drop_or_refuse_what_a_relay_notes_and_nothing_is_sent_again()
-> anyhow::Result<()> {
    meets(&trigger("UPDATE", "RETURN NULL;"), Unsettled).await?;
    meets(&trigger("UPDATE", "RAISE 'not today';"), Unsettled).await?;
    let moves = trigger("UPDATE", "NEW.event_type := 'order.rewritten'; RETURN NEW;");
    meets(&moves, Published("order.created")).await?;
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_takes_the_mark_back_has_nothing_sent_again() -> anyhow::Result<()> {
    let undoes = trigger("UPDATE", "NEW.published_at := NULL; RETURN NEW;");
    meets(&undoes, Unsettled).await?;
    Ok(())
}

#[tokio::test]
async fn checks_keys_and_policies_are_about_one_row() -> anyhow::Result<()> {
    let check =
        "ALTER TABLE outbox ADD CHECK (aggregate_id <> 'concerned' OR published_at IS NULL)";
    meets(check, Unsettled).await?;
    let to_orders = "CREATE TABLE orders (id text PRIMARY KEY);
        INSERT INTO orders VALUES ('before'), ('after'), ('later'), ('latest');
        ALTER TABLE outbox ADD FOREIGN KEY (aggregate_id) REFERENCES orders";
    meets(to_orders, Refused("23503")).await?;
    let known = format!("{to_orders}; INSERT INTO orders VALUES ('concerned')");
    meets(&known, Published("order.created")).await?;
    let to_outbox = "CREATE TABLE told (event_id uuid REFERENCES outbox (event_id));
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO told VALUES (NEW.event_id); RETURN NULL; END $$;
        CREATE TRIGGER tell AFTER INSERT ON outbox FOR EACH ROW
            WHEN (NEW.aggregate_id = 'concerned') EXECUTE FUNCTION tell()";
    let outbox = meets(to_outbox, Published("order.created")).await?;
    // Its row can't be deleted, while the others can.
    let mut relay = outbox.relay(&["--outbox-retention=0"])?;
    outbox.add("before", "order.created").await?;
    relay.until_idle().await?;
    ensure!(relay.health.is_ready(), "{:?}", relay.health.statuses());
    assert_eq!(count(&outbox, "outbox WHERE published_at IS NULL").await?, 0);
    Ok(())
}

#[tokio::test]
async fn columns_may_be_added_and_stand_in_any_order() -> anyhow::Result<()> {
    let added = "ALTER TABLE outbox
        ADD tenant text NOT NULL DEFAULT 'none',
        ADD upper text GENERATED ALWAYS AS (upper(event_type)) STORED,
        ADD \"Odd \"\" name\" integer[] NOT NULL DEFAULT '{}'";
    meets(added, Published("order.created")).await?;
    let sequence = "ALTER TABLE outbox ALTER id DROP IDENTITY;
        CREATE SEQUENCE numbers OWNED BY outbox.id;
        ALTER TABLE outbox ALTER id SET DEFAULT nextval('numbers');
        GRANT USAGE ON SEQUENCE numbers TO outbox_writer";
    meets(sequence, Published("order.created")).await?;
    meets("ALTER TABLE outbox SET UNLOGGED", Published("order.created")).await?;

    let schema = include_str!("../../../sql/outbox/schema.sql");
    let (head, rest) = schema.split_once("CREATE TABLE outbox (").context("the table")?;
    let (columns, tail) = rest.split_once("\n);").context("its end")?;
    let lines = columns.lines().filter(|line| !line.trim().is_empty());
    let column = |line: &str| {
        let code = line.split("--").next().unwrap_or_default();
        code.trim().trim_end_matches(',').to_owned()
    };
    let mut columns: Vec<String> = lines.map(column).collect();
    assert_eq!(columns.len(), 14);
    columns.reverse();
    let reversed = format!("{head}CREATE TABLE outbox ({});{tail}", columns.join(", "));
    meets_in(with_schema(&reversed).await?, Published("order.created")).await?;
    Ok(())
}

async fn with_schema(schema: &str) -> anyhow::Result<Outbox> {
    let servers = stack::shared().await?;
    let (database, vhost) = tokio::try_join!(servers.database("shapes"), servers.vhost("shapes"))?;
    Outbox::with_schema(database, vhost, schema, ROLES).await
}

#[tokio::test]
async fn an_outbox_may_be_partitioned_by_id() -> anyhow::Result<()> {
    let schema = include_str!("../../../sql/outbox/schema.sql");
    // A unique constraint of a partitioned table has to include the column that divides it, and the
    // storage settings are those of each partition.
    let schema = schema
        .replace("NOT NULL UNIQUE DEFAULT gen_random_uuid()", "NOT NULL DEFAULT gen_random_uuid()");
    let (head, rest) = schema.split_once("\n);").context("the table's end")?;
    let (indexes, rest) = rest.split_once("ALTER TABLE outbox SET (").context("its settings")?;
    let (_, rest) = rest.split_once(");").context("their end")?;
    let schema = format!(
        "{head}\n) PARTITION BY RANGE (id);
         CREATE TABLE outbox_first PARTITION OF outbox FOR VALUES FROM (MINVALUE) TO (2);
         CREATE TABLE outbox_later PARTITION OF outbox FOR VALUES FROM (2) TO (MAXVALUE);
         {indexes} {rest}"
    );
    let outbox = meets_in(with_schema(&schema).await?, Published("order.created")).await?;
    assert_eq!(count(&outbox, "outbox_first").await?, 1);
    assert_eq!(count(&outbox, "outbox_later").await?, 4);
    Ok(())
}

/// Each session takes twenty ids at once, so that lower ids are committed after higher ones.
#[tokio::test]
async fn with_a_cached_sequence_each_event_of_each_session_is_published_once() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox.sql.batch_execute("ALTER SEQUENCE outbox_id_seq CACHE 20").await?;
    let sessions = [connect(&outbox.database.url).await?, connect(&outbox.database.url).await?];
    let mut relay = outbox.relay(&[])?;
    let mut events = 0;
    for round in 0..50 {
        for (number, session) in sessions.iter().enumerate() {
            let insert = format!(
                "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                 VALUES ('order', 'both', 'order.created', '{{}}'), ('order', '{number} in {round}', 'order.created', '{{}}')"
            );
            session.batch_execute(&insert).await?;
            events += 2;
        }
        if round % 3 == 0 {
            relay.until_idle().await?;
        }
    }
    relay.until_idle().await?;
    assert_eq!((outbox.pending().await?, outbox.take_all("all").await?.len()), (0, events));
    Ok(())
}
