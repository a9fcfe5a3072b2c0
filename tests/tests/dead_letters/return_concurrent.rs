//! `outbox-relay dead-letters return` when others do the same, and when it is killed.

use std::collections::BTreeSet;

use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::{HOME, Rows};
use pipeline_tests::outbox::eventually;
use serde_json::json;
use stack::Service;

#[tokio::test]
async fn two_at_once_return_each_dead_letter_once_and_tell_the_truth() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(3000, Rows::default()).await?;
    let arguments =
        ["return", "--fingerprint", "00000000000000aa", "--yes", "--json", "--rate", "2000/s"];
    let (one, other) = tokio::try_join!(
        desk.command_as(&desk.database.url, "alice", &arguments),
        desk.command_as(&desk.database.url, "bob", &arguments)
    )?;
    let mut told = 0;
    for (ended, actor) in [(&one, "alice"), (&other, "bob")] {
        let report = ended.json()?;
        let returned = report["returned"].as_i64().expect("a number");
        let settled = desk
            .count(&format!(
                "SELECT count(*) FROM dead_letters_audit WHERE actor = '{actor}' AND after = '{{\"state\": \"returned\"}}'"
            ))
            .await?;
        assert_eq!(returned, settled, "{report}");
        assert_eq!(report["refused"], json!([]), "{report}");
        assert_eq!(report["unknown"], json!([]), "{report}");
        told += returned;
    }
    assert_eq!(told, 3000);
    let delivered = desk.deliveries(HOME).await?;
    assert!(delivered.values().all(|times| *times == 1), "something was sent twice");
    assert_eq!(delivered.into_keys().collect::<Vec<_>>(), ids);
    assert_eq!(desk.in_state("returned").await?, 3000);
    Ok(())
}

#[tokio::test]
async fn a_command_killed_in_the_middle_loses_nothing_and_repeats_only_what_was_in_flight()
-> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let ids = desk.add_rows(4000, Rows::default()).await?;
    let mut repeatable = BTreeSet::new();
    let program = stack::binary("outbox-relay").await?;
    for round in 1..=3 {
        let settings = [
            ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()),
            ("RABBITMQ_URL", desk.broker.amqp_url.as_str()),
        ];
        let arguments = [
            "dead-letters",
            "return",
            "--fingerprint",
            "00000000000000aa",
            "--yes",
            "--rate",
            "2000/s",
        ];
        let command = Service::spawn(program.clone(), arguments, settings).await?;
        eventually("some are returned", async || {
            Ok(desk.in_state("returned").await? >= round * 500)
        })
        .await?;
        command.sigkill()?;
        eventually("its sessions are gone", async || {
            let sessions = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND application_name LIKE 'dead-letters command%'";
            Ok(desk.count(sessions).await? == 0)
        })
        .await?;
        let returning = "SELECT id FROM dead_letters WHERE state = 'returning'";
        let rows = desk.sql.query(returning, &[]).await?;
        repeatable.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    let ended = desk.command(&["return", "--fingerprint", "00000000000000aa", "--yes"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(desk.in_state("returned").await?, 4000);
    let delivered = desk.deliveries(HOME).await?;
    let repeated: BTreeSet<i64> =
        delivered.iter().filter(|(_, times)| **times > 1).map(|(id, _)| *id).collect();
    assert!(repeated.is_subset(&repeatable), "{repeated:?} but not {repeatable:?}");
    assert_eq!(delivered.into_keys().collect::<Vec<_>>(), ids);
    Ok(())
}
