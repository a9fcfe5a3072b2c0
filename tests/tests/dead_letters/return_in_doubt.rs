//! `outbox-relay dead-letters return` where something is in its way: what it says is true, and what
//! one dead letter meets is not put upon the others.

use std::time::{Duration, Instant};

use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::desk::{HOME, Rows, row_id};
use pipeline_tests::outbox::{connect, eventually};
use pipeline_tests::relay_command::outbox_relay;
use serde_json::json;
use stack::Service;

const ALL: [&str; 4] = ["return", "--kind", "failed", "--yes"];

#[tokio::test]
async fn a_queue_that_was_named_by_mistake_is_not_remembered() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let id = desk.add_rows(1, Rows::default()).await?[0].to_string();
    let ended = desk.command(&["return", &id, "--to", "biling"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("there is no queue biling"), "{ended:?}");
    assert_eq!(desk.letters().await?[0]["return_to"], HOME);
    let ended = desk.command(&["return", &id]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(desk.take_all(HOME).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_refusal_after_an_attempt_without_an_answer_says_that_it_may_have_arrived()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(2, Rows { return_to: "gone", ..Rows::default() }).await?;
    let mark = format!("UPDATE dead_letters SET state = 'returning' WHERE id = {}", ids[0]);
    desk.sql.batch_execute(&mark).await?;
    let report = desk.command(&[&ALL[..], &["--json"]].concat()).await?.json()?;
    let told: Vec<_> = report["refused"].as_array().expect("a list").iter().collect();
    assert_eq!((&told[0]["id"], &told[0]["may_have_arrived"]), (&json!(ids[0]), &json!(true)));
    assert_eq!((&told[1]["id"], &told[1]["may_have_arrived"]), (&json!(ids[1]), &json!(false)));
    let doubts = "SELECT dead_letter_id FROM dead_letters_audit WHERE detail @> '{\"may_have_arrived\": true}'";
    assert_eq!(desk.count(doubts).await?, ids[0]);
    Ok(())
}

#[tokio::test]
async fn one_that_the_database_does_not_settle_is_named_and_the_others_are_settled()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(1000, Rows::default()).await?;
    let sealed = ids[321];
    desk.sql
        .batch_execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'under seal'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON dead_letters FOR EACH ROW
                 WHEN (OLD.id = {sealed} AND NEW.state = 'returned') EXECUTE FUNCTION refuse()"
        ))
        .await?;
    let ended = desk.command(&[&ALL[..], &["--json"]].concat()).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!((&report["returned"], &report["unknown"]), (&json!(999), &json!([])), "{report}");
    assert_eq!(report["unchanged"][0]["id"], sealed, "{report}");
    let reason = report["unchanged"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("has arrived") && reason.contains("under seal"), "{reason}");
    assert_eq!((desk.in_state("returned").await?, desk.in_state("returning").await?), (999, 1));
    assert_eq!(desk.take_all(HOME).await?.len(), 1000);
    Ok(())
}

#[tokio::test]
async fn one_that_somebody_locks_once_it_is_marked_is_told_as_being_returned() -> anyhow::Result<()>
{
    let desk = DeadLetterQueue::desk().await?;
    let id = desk.add_rows(1, Rows::default()).await?[0];
    // The mark waits for this lock, and has the row while the other one asks for it.
    desk.sql
        .batch_execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
             CREATE TRIGGER wait BEFORE UPDATE ON dead_letters FOR EACH ROW
                 WHEN (NEW.state = 'returning') EXECUTE FUNCTION wait();
             SELECT pg_advisory_lock(7)",
        )
        .await?;
    let waiting = async |sessions: i64| {
        eventually("the sessions wait", async || {
            let wait = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            Ok(desk.count(wait).await? == sessions)
        })
        .await
    };
    let (other, third) = (connect(&desk.database.url).await?, connect(&desk.database.url).await?);
    let lock = format!("BEGIN; SELECT FROM dead_letters WHERE id = {id} FOR UPDATE");
    let named = id.to_string();
    let arguments = ["return", &named, "--json"];
    let (ended, ()) = tokio::try_join!(desk.command(&arguments), async {
        waiting(1).await?;
        let hold = async {
            other.batch_execute(&lock).await?;
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND query LIKE 'BEGIN; LOCK TABLE%'";
            anyhow::Ok(desk.sql.batch_execute(cancel).await?)
        };
        // Until the other one has the row, the command is kept from it, behind this.
        let keep_back = async {
            waiting(2).await?;
            let lock = "BEGIN; LOCK TABLE dead_letters IN EXCLUSIVE MODE";
            anyhow::ensure!(third.batch_execute(lock).await.is_err(), "nobody had the row");
            Ok(())
        };
        let unlock = async {
            waiting(3).await?;
            anyhow::Ok(desk.sql.batch_execute("SELECT pg_advisory_unlock(7)").await?)
        };
        tokio::try_join!(hold, keep_back, unlock)?;
        Ok(())
    })?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!((&report["unknown"], &report["not_returned"]), (&json!([id]), &json!([])));
    other.batch_execute("ROLLBACK").await?;
    assert!(desk.take_all(HOME).await?.is_empty());

    let listed = desk.command(&["list"]).await?;
    assert!(listed.err.contains("1 is being returned"), "{listed:?}");
    let groups = desk.command(&["groups", "--json"]).await?.json()?;
    assert_eq!((&groups["groups"], &groups["returning"]), (&json!([]), &json!(1)));
    desk.sql
        .batch_execute("UPDATE dead_letters SET collected_at = now() - interval '2 days'")
        .await?;
    let old = format!("SELECT messages FROM dead_letters_old WHERE queue = '{QUEUE}'");
    assert_eq!(desk.count(&old).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_user_that_may_not_publish_is_told_so_once() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(30, Rows::default()).await?;
    let user = BrokerUser::new(&desk.broker, ".*", "^$").await?;
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
        ("RABBITMQ_URL", user.url.as_str()),
    ];
    let arguments = [&["dead-letters"], &ALL[..], &["--json", "--rate", "20/s"]].concat();
    let ended = outbox_relay(&arguments, &settings).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("grant it to write to amq.default"), "{ended:?}");
    let report = ended.json()?;
    assert_eq!((&report["untried"], &report["unknown"]), (&json!(28), &json!([])), "{report}");
    assert_eq!(report["refused"][1]["may_have_arrived"], false, "{report}");
    assert_eq!(desk.in_state("open").await?, 30);
    assert_eq!(desk.audit().await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_command_that_waits_for_its_rate_ends_when_it_is_told_to() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(3, Rows::default()).await?;
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
        ("RABBITMQ_URL", desk.broker.amqp_url.as_str()),
    ];
    let arguments = [&["dead-letters"], &ALL[..], &["--rate", "1/h"]].concat();
    let program = stack::binary("outbox-relay").await?;
    let command = Service::spawn(program, arguments, settings).await?;
    eventually("the first is returned", async || Ok(desk.in_state("returned").await? == 1)).await?;
    let begun = Instant::now();
    command.sigterm()?;
    let status = command.wait_exit(Duration::from_secs(30)).await?;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(1), "{}", command.log());
    assert!(command.log().contains("2 dead letters were not tried"), "{}", command.log());
    let messages = desk.take_all(HOME).await?;
    assert_eq!(messages.iter().map(row_id).collect::<Result<Vec<_>, _>>()?, [ids[0]]);
    assert_eq!(desk.in_state("open").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_command_told_to_stop_between_its_windows_leaves_none_in_doubt() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(200, Rows::default()).await?;
    let settings = [
        ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
        ("RABBITMQ_URL", desk.broker.amqp_url.as_str()),
    ];
    let arguments = [&["dead-letters"], &ALL[..], &["--rate", "5/s"]].concat();
    let command = Service::spawn(stack::binary("outbox-relay").await?, arguments, settings).await?;
    eventually("some are returned", async || Ok(desk.in_state("returned").await? >= 3)).await?;
    let begun = Instant::now();
    command.sigterm()?;
    let status = command.wait_exit(Duration::from_secs(30)).await?;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(1), "{}", command.log());
    let returned = desk.in_state("returned").await?;
    let told = format!("{} dead letters were not tried", 200 - returned);
    assert!(command.log().contains(&told), "{}", command.log());
    assert_eq!(desk.in_state("open").await?, 200 - returned);
    let delivered = desk.deliveries(HOME).await?;
    assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
    assert_eq!(i64::try_from(delivered.len())?, returned);
    Ok(())
}
