//! `outbox-relay dead-letters return` while the broker or the connection to it dies: nothing is
//! lost, and nothing is called returned that the broker has not confirmed.

use std::collections::BTreeSet;

use anyhow::ensure;
use lapin::options::QueueDeleteOptions;
use pipeline_tests::command::Ended;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, declare};
use pipeline_tests::desk::{HOME, Rows};
use pipeline_tests::outbox::{connect, eventually};
use pipeline_tests::proxy::{Faults, Proxy};
use pipeline_tests::relay_command::outbox_relay;
use serde_json::json;
use stack::RabbitServer;

const ALL: [&str; 4] = ["return", "--kind", "failed", "--yes"];

/// Makes the queue that dead letters go back to, of this type.
async fn make_home(desk: &DeadLetterQueue, queue_type: &str) -> anyhow::Result<()> {
    desk.channel.queue_delete(HOME.into(), QueueDeleteOptions::default()).await?;
    declare(&desk.channel, HOME, &[("x-queue-type", queue_type)]).await
}

/// The ids of the rows in a state.
async fn ids(desk: &DeadLetterQueue, state: &str) -> anyhow::Result<BTreeSet<i64>> {
    let select = format!("SELECT id FROM dead_letters WHERE state = '{state}'");
    Ok(desk.sql.query(&select, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Checks that a command's report says of each row what the table says.
async fn check_report(desk: &DeadLetterQueue, ended: &Ended) -> anyhow::Result<()> {
    let report = ended.json()?;
    let returned = i64::try_from(ids(desk, "returned").await?.len())?;
    assert_eq!(report["returned"], json!(returned), "{report}");
    assert_eq!((&report["refused"], &report["unchanged"]), (&json!([]), &json!([])), "{report}");
    let unknown: BTreeSet<i64> = serde_json::from_value(report["unknown"].clone())?;
    assert_eq!(ids(desk, "returning").await?, unknown, "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_in_the_middle_has_all_that_is_called_returned() -> anyhow::Result<()> {
    stack::binary("outbox-relay").await?;
    let mut rabbit = RabbitServer::start_temporary().await?;
    let mut desks = Vec::new();
    for queue_type in ["quorum", "classic"] {
        let database = stack::shared().await?.database("desk").await?;
        let desk = DeadLetterQueue::with(database, rabbit.vhost("desk").await?).await?;
        make_home(&desk, queue_type).await?;
        desks.push((queue_type, desk));
    }
    // RabbitMQ 3.10 persists the registration of a new quorum queue only after half a second: a
    // crash before that loses the queue, which is not tested here. A clean stop persists it.
    rabbit.stop_gracefully().await?;
    rabbit.start().await?;
    for (queue_type, mut desk) in desks {
        let all: BTreeSet<i64> = desk.add_rows(400, Rows::default()).await?.into_iter().collect();
        let arguments = [&ALL[..], &["--json", "--rate", "200/s"]].concat();
        let (ended, ()) = tokio::try_join!(desk.command(&arguments), async {
            eventually("some are returned", async || Ok(desk.in_state("returned").await? >= 50))
                .await?;
            rabbit.kill().await?;
            ensure!(desk.in_state("returned").await? < 400, "it was killed too late");
            rabbit.start().await
        })?;
        check_report(&desk, &ended).await?;
        desk.reconnect().await?;
        eventually("the queue has a leader", async || Ok(desk.depth_of(HOME).await.is_ok()))
            .await?;
        // A command gives up when the broker takes long to come back.
        if ended.code != Some(0) {
            let ended = desk.command(&arguments).await?;
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        assert_eq!(desk.in_state("returned").await?, 400, "{queue_type}");
        let delivered = desk.deliveries(HOME).await?;
        assert_eq!(delivered.into_keys().collect::<BTreeSet<_>>(), all, "{queue_type}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cut_connection_leaves_in_doubt_what_was_not_confirmed() -> anyhow::Result<()> {
    stack::binary("outbox-relay").await?;
    for queue_type in ["quorum", "classic"] {
        let desk = DeadLetterQueue::desk().await?;
        make_home(&desk, queue_type).await?;
        let all = desk.add_rows(300, Rows::default()).await?;
        let (broker, url) = Proxy::before(&desk.broker.amqp_url)?;
        // The command is connected to the broker before it marks its rows, which waits for this.
        let gate = connect(&desk.database.url).await?;
        gate.batch_execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$;
             CREATE TRIGGER wait BEFORE UPDATE ON dead_letters FOR EACH ROW
                 WHEN (NEW.state = 'returning') EXECUTE FUNCTION wait();
             SELECT pg_advisory_lock(7)",
        )
        .await?;
        let settings = [
            ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
            ("RABBITMQ_URL", url.as_str()),
        ];
        let arguments = [&["dead-letters"], &ALL[..], &["--json"]].concat();
        let (ended, ()) = tokio::try_join!(outbox_relay(&arguments, &settings), async {
            eventually("it marks its rows", async || {
                let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                Ok(desk.count(waits).await? == 1)
            })
            .await?;
            broker.to_client(Faults::HELD);
            gate.batch_execute("SELECT pg_advisory_unlock(7)").await?;
            eventually("all have arrived", async || Ok(desk.depth_of(HOME).await?.0 == 300))
                .await?;
            ensure!(desk.in_state("returning").await? == 300, "none is confirmed");
            broker.reset();
            broker.to_client(Faults::default());
            Ok(())
        })?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        check_report(&desk, &ended).await?;
        let delivered = desk.deliveries(HOME).await?;
        assert!(delivered.values().all(|times| *times == 2), "{queue_type}: {delivered:?}");
        assert_eq!(delivered.into_keys().collect::<Vec<_>>(), all);
    }
    Ok(())
}
