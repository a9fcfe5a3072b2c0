//! Statements that lock several rows take them in a fixed order: two batches with the same rows in
//! another order wait for each other, and never deadlock.

use anyhow::Context as _;
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::connect;
use pipeline_tests::service_role::Migrated;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

const COUNT_EVENTS: &str = include_str!("../../../sql/customer/queries/count_events.sql");
const CREATE_ORDERS: &str = include_str!("../../../sql/order/queries/create_orders.sql");
const NOTE_UNSETTLED: &str = include_str!("../../../sql/relay/queries/note_unsettled.sql");

/// Runs the prepared statement with these values in a session of its own, and waits until it waits
/// for a lock.
async fn begin(
    migrated: &Migrated,
    prepare: &str,
    values: &str,
) -> anyhow::Result<JoinHandle<Result<(), tokio_postgres::Error>>> {
    let session = connect(&migrated.database.url).await?;
    session.batch_execute(prepare).await.with_context(|| prepare.to_owned())?;
    let pid: i32 = session.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    let execute = format!("EXECUTE batch ({values})");
    let running = tokio::spawn(async move { session.batch_execute(&execute).await });
    eventually("it waits for a lock", async || {
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'";
        Ok(migrated.owner.query_one(waits, &[&pid]).await?.get::<_, i64>(0) == 1)
    })
    .await?;
    Ok(running)
}

/// Runs two batches while `holder` has a row that both want in the middle, and then lets it go.
async fn both_succeed(
    migrated: &Migrated,
    holder: Client,
    prepare: &str,
    batches: [&str; 2],
) -> anyhow::Result<()> {
    let first = begin(migrated, prepare, batches[0]).await?;
    let second = begin(migrated, prepare, batches[1]).await?;
    holder.batch_execute("ROLLBACK").await?;
    first.await?.context("the first batch")?;
    second.await?.context("the second batch")
}

/// The event with this number, as text.
fn event(number: u32) -> String {
    format!("{number:032x}")
}

/// A foreign client has given two customers the same events, so that no lock of a customer keeps
/// the batches apart.
#[tokio::test]
async fn consumers_write_the_same_events_in_one_order() -> anyhow::Result<()> {
    let migrated = Migrated::by("customer-service").await?;
    let [low, middle, high] = [1, 2, 3].map(event);
    let add = "INSERT INTO customers (id, name, address) SELECT lpad(n::text, 32, '0')::uuid, 'A', 'B' FROM generate_series(1, 2) AS n";
    migrated.owner.batch_execute(add).await?;
    let holder = connect(&migrated.database.url).await?;
    let hold = format!("BEGIN; INSERT INTO processed_events (event_id) VALUES ('{middle}')");
    holder.batch_execute(&hold).await?;
    let of = |customer: u32| format!("array_fill('{}'::uuid, '{{3}}')", event(customer));
    let batches = [
        format!("'{{{high},{middle},{low}}}', {}", of(1)),
        format!("'{{{low},{middle},{high}}}', {}", of(2)),
    ];
    let prepare = format!("PREPARE batch (uuid[], uuid[]) AS {COUNT_EVENTS}");
    both_succeed(&migrated, holder, &prepare, batches.each_ref().map(String::as_str)).await?;
    let counts = "SELECT array_agg(orders_count ORDER BY id) FROM customers";
    let counts: Vec<i64> = migrated.owner.query_one(counts, &[]).await?.get(0);
    assert_eq!(counts, [3, 0], "the first batch counted each");
    Ok(())
}

/// What another consumer counts at that moment is a duplicate, and not the event of a customer who
/// does not exist.
#[tokio::test]
async fn an_event_that_is_counted_while_its_copy_waits_makes_the_copy_a_duplicate()
-> anyhow::Result<()> {
    let migrated = Migrated::by("customer-service").await?;
    let add =
        "INSERT INTO customers (id, name, address) VALUES (lpad('1', 32, '0')::uuid, 'A', 'B')";
    migrated.owner.batch_execute(add).await?;
    let (one, holder) = (event(1), connect(&migrated.database.url).await?);
    let hold = format!("BEGIN; INSERT INTO processed_events (event_id) VALUES ('{one}')");
    holder.batch_execute(&hold).await?;
    let keep = "CREATE TABLE told (event_id uuid, duplicate boolean)";
    migrated.owner.batch_execute(keep).await?;
    // A WITH that changes rows stands at the top of a statement.
    let (with, select) = COUNT_EVENTS.rsplit_once("\nSELECT ").context("a SELECT at the end")?;
    let prepare =
        format!("PREPARE batch (uuid[], uuid[]) AS {with}\nINSERT INTO told SELECT {select}");
    let counting = begin(&migrated, &prepare, &format!("'{{{one}}}', '{{{one}}}'")).await?;
    holder.batch_execute("COMMIT").await?;
    counting.await??;
    let told = migrated.owner.query_one("SELECT duplicate FROM told", &[]).await?;
    assert!(told.get::<_, bool>(0));
    Ok(())
}

#[tokio::test]
async fn order_services_write_the_same_keys_in_one_order() -> anyhow::Result<()> {
    let migrated = Migrated::by("order-service").await?;
    let holder = connect(&migrated.database.url).await?;
    let hold =
        "BEGIN; INSERT INTO idempotency_keys (key, order_id) VALUES ('m', gen_random_uuid())";
    holder.batch_execute(hold).await?;
    let batch = |keys: &str| {
        let ids = "ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()]";
        format!(
            "{ids}, {ids}, '{{a,b,c}}', '{{1,1,1}}', '{{1,1,1}}', '{{a,b,c}}', {ids}, \
             array_fill('{{}}'::jsonb, '{{3}}'), '{keys}', '0'"
        )
    };
    let batches = [batch("{z,m,a}"), batch("{a,m,z}")];
    let types =
        "uuid[], uuid[], text[], integer[], numeric[], text[], uuid[], jsonb[], text[], text";
    let prepare = format!("PREPARE batch ({types}) AS {CREATE_ORDERS}");
    both_succeed(&migrated, holder, &prepare, batches.each_ref().map(String::as_str)).await?;
    let orders = migrated.owner.query_one("SELECT count(*) FROM orders", &[]).await?;
    assert_eq!(orders.get::<_, i64>(0), 3, "the first batch took the keys");
    Ok(())
}

/// A relay that has lost its lanes may note what the one that owns them by now notes.
#[tokio::test]
async fn relays_note_the_same_events_in_one_order() -> anyhow::Result<()> {
    let migrated = Migrated::by("order-service").await?;
    let [low, middle, high] = [1, 2, 3].map(event);
    let holder = connect(&migrated.database.url).await?;
    let hold = format!(
        "BEGIN; INSERT INTO outbox_unsettled (event_id, id, outcome, kind) VALUES ('{middle}', 2, 'published', 'locked')"
    );
    holder.batch_execute(&hold).await?;
    let notes = |events: [&str; 3]| {
        let events = events.join(",");
        format!(
            "'{{{events}}}', '{{1,2,3}}', 'published', '{{locked,locked,locked}}', '{{NULL,NULL,NULL}}'"
        )
    };
    let batches = [notes([&high, &middle, &low]), notes([&low, &middle, &high])];
    let types = "uuid[], bigint[], text, text[], text[]";
    let note = NOTE_UNSETTLED.replace("{unsettled}", "outbox_unsettled");
    let prepare = format!("PREPARE batch ({types}) AS {note}");
    both_succeed(&migrated, holder, &prepare, batches.each_ref().map(String::as_str)).await?;
    let noted = migrated.owner.query_one("SELECT count(*) FROM outbox_unsettled", &[]).await?;
    assert_eq!(noted.get::<_, i64>(0), 3);
    Ok(())
}
