//! A server that accepts connections and never answers: the relay waits for it in the background,
//! and never in a step.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use outbox_relay::TickOutcome;
use pipeline_tests::outbox::{Outbox, PATIENCE, Stepped, connect, eventually};
use pipeline_tests::proxy::{Faults, Proxy};
use pipeline_tests::readiness::readiness;
use pipeline_tests::silent_server::SilentServer;

/// The longest time of a step with a healthy database, also on a busy machine.
const A_TURN: Duration = Duration::from_secs(2);

/// A relay tries to connect within this time.
const KNOCKING: Duration = Duration::from_secs(1);

async fn never_waits(relay: &mut Stepped, expected: TickOutcome) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < KNOCKING {
        let turn = Instant::now();
        let outcome = Box::pin(relay.relay.tick()).await;
        ensure!(turn.elapsed() < A_TURN, "a turn took {:?}", turn.elapsed());
        ensure!(outcome == expected, "{outcome:?}: {:?}", relay.health.statuses());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_broker_that_says_nothing_holds_up_no_turn() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    let silent = SilentServer::start().await?;
    outbox.vhost.amqp_url = format!("amqp://{}", silent.address());
    outbox.add("7", "order.created").await?;
    let mut relay = outbox.relay(&[])?;
    never_waits(&mut relay, TickOutcome::Unavailable).await?;
    let statuses = relay.health.statuses();
    assert!(statuses["postgresql"].up, "the database is reached meanwhile: {statuses:?}");
    assert!(!statuses["rabbitmq"].up, "{statuses:?}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_says_nothing_holds_up_no_turn() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    let silent = SilentServer::start().await?;
    outbox.relay_url = format!("postgres://u:p@{}/d", silent.address());
    let mut relay = outbox.relay(&[])?;
    never_waits(&mut relay, TickOutcome::Unavailable).await?;
    let statuses = relay.health.statuses();
    assert!(statuses["rabbitmq"].up, "the broker is reached meanwhile: {statuses:?}");
    assert!(!statuses["postgresql"].up, "{statuses:?}");
    Ok(())
}

/// Longer than a test may take, so that a connection attempt does not time out.
const PATIENT: &str = "?connection_timeout=600000";

#[tokio::test]
async fn while_a_relay_waits_for_a_silent_broker_another_one_serves_its_lanes() -> anyhow::Result<()>
{
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (proxy, url) = Proxy::before(&outbox.vhost.amqp_url)?;
    let url = format!("{url}{PATIENT}");
    let (first, pid) = outbox.joined_by(&[("RABBITMQ_URL", url.as_str())]).await?;
    let _second = outbox.joined_by(&[]).await?;
    outbox.every_lane_is_served().await?;

    // From now on connections are accepted and get no answer.
    proxy.to_client(Faults { hold_after: Some(0), ..Faults::default() });
    proxy.reset();
    first.wait_for_line("rabbitmq is not reachable", PATIENCE).await?;
    outbox.every_lane_is_served().await.with_context(|| first.log())?;
    let shares = outbox.shared_among(1).await.with_context(|| first.log())?;
    ensure!(!shares.contains_key(&pid), "{shares:?}");
    let told = readiness(&first).await?;
    assert_eq!(told["ready"], false, "{told}");
    assert_eq!(told["dependencies"]["postgresql"]["up"], true, "{told}");

    proxy.to_client(Faults::default());
    outbox.shared_among(2).await.with_context(|| first.log())?;
    outbox.every_lane_is_served().await
}

/// After so long without an answer the server may have ended the session, and another relay may own
/// its lanes.
const LEASE: Duration = Duration::from_secs(6);

/// An event whose payload is stored outside its row.
const ADD_LARGE: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', '7', 'order.created', jsonb_build_object('note', string_agg(md5(n::text), ''))
    FROM generate_series(1, 1000) AS n";

#[tokio::test]
async fn what_is_loaded_when_the_lanes_may_be_lost_is_not_sent() -> anyhow::Result<()> {
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (proxy, url) = Proxy::before(&outbox.relay_url)?;
    outbox.relay_url = url;
    let mut relay = outbox.relay(&[])?;
    relay.until_idle().await?;
    outbox.sql.batch_execute(ADD_LARGE).await?;
    // Nobody can read the payload.
    let holder = connect(&outbox.database.url).await?;
    let toast = "SELECT indexrelid::regclass::text FROM pg_index
                 WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'outbox'::regclass)";
    let index: String = holder.query_one(toast, &[]).await?.get(0);
    holder.batch_execute(&format!("BEGIN; REINDEX INDEX {index}")).await?;

    let late_answer = async {
        eventually("the payload is read", async || {
            let reads = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- load:%'";
            Ok(outbox.count(reads, &[]).await? == 1)
        })
        .await?;
        proxy.to_client(Faults::HELD);
        holder.batch_execute("COMMIT").await?;
        tokio::time::sleep(LEASE + Duration::from_millis(500)).await;
        proxy.to_client(Faults::default());
        anyhow::Ok(())
    };
    // The step that waits for the answer is the last one.
    relay.work_until(late_answer).await?;
    for _ in 0..100 {
        ensure!(outbox.depth("all").await? == 0, "it was sent: {:?}", relay.health.statuses());
    }
    relay.until_idle().await?;
    assert_eq!((outbox.pending().await?, outbox.depth("all").await?), (0, 1));
    Ok(())
}
