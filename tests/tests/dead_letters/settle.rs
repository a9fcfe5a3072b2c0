//! `outbox-relay dead-letters note`, `discard` and `forget`: what they change, their audit rows,
//! and concurrent commands.

use std::collections::BTreeSet;

use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::outbox::connect;
use serde_json::{Value, json};

const CAUSE: &str = "00000000000000aa";

fn ids(letters: &Value) -> BTreeSet<i64> {
    let letters = letters.as_array().map_or(&[][..], Vec::as_slice);
    letters.iter().filter_map(|letter| letter.as_i64().or(letter["id"].as_i64())).collect()
}

#[tokio::test]
async fn what_is_discarded_stays_with_its_contents_and_the_audit_says_why() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let admin = desk.person("dead_letters_admin").await?;
    let found = desk.add_rows(2, Rows::default()).await?;
    let id = found[0].to_string();
    let dry =
        desk.command_as(&admin, "alice", &["discard", &id, "--reason", "x", "--dry-run"]).await?;
    assert!(dry.out.starts_with("1 dead letter would be discarded.\n"), "{dry:?}");
    assert_eq!(desk.in_state("open").await?, 2);
    let ended = desk.command_as(&admin, "alice", &["discard", &id, "--reason", "a test"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "1 dead letter is discarded.\n"));
    let audit = desk.audit().await?;
    let [row] = &audit[..] else { panic!("{audit:?}") };
    for (member, value) in [
        ("actor", json!("alice")),
        ("db_user", json!("person_of_dead_letters_admin")),
        ("action", json!("discard")),
        ("reason", json!("a test")),
        ("dead_letter_id", json!(found[0])),
        ("before", json!({ "state": "open" })),
        ("after", json!({ "state": "discarded" })),
    ] {
        assert_eq!(row[member], value, "{member}: {row}");
    }
    let shown = desk.command(&["show", &id]).await?;
    assert!(shown.out.contains("{\"n\": 1}"), "{shown:?}");
    assert!(shown.out.contains("discard (discarded) by alice"), "{shown:?}");

    let again = desk.command(&["discard", &id, "999999", "--reason", "x", "--json"]).await?;
    assert_eq!(again.code, Some(1), "{again:?}");
    let report = again.json()?;
    assert_eq!(
        report["not_discarded"][0],
        json!({ "id": found[0], "reason": "state", "state": "discarded", "by": "alice" })
    );
    assert_eq!(report["not_discarded"][1], json!({ "id": 999_999, "reason": "not_found" }));
    Ok(())
}

#[tokio::test]
async fn a_selection_is_changed_as_it_was_counted_or_not_at_all() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    desk.add_rows(1500, Rows::default()).await?;
    let counted = desk
        .command(&["discard", "--fingerprint", CAUSE, "--reason", "x", "--dry-run", "--json"])
        .await?
        .json()?;
    assert_eq!(counted["matched"], 1500);
    assert_eq!(counted["examples"].as_array().map(Vec::len), Some(10));
    let later = desk.add_rows(1, Rows::default()).await?;
    let discard = ["discard", "--fingerprint", CAUSE, "--reason", "x", "--expect", "1500"];
    let ended = desk.command(&discard).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.err.contains("1501 dead letters match, not 1500: nothing was changed"),
        "{ended:?}"
    );
    let up_to = counted["up_to_id"].to_string();
    let ended = desk.command(&[&discard[..], &["--up-to-id", &up_to]].concat()).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, "1500 dead letters are discarded.\n");
    let open = "SELECT id FROM dead_letters WHERE state = 'open'";
    assert_eq!(desk.sql.query_one(open, &[]).await?.get::<_, i64>(0), later[0]);
    assert_eq!(
        desk.count("SELECT count(DISTINCT dead_letter_id) FROM dead_letters_audit").await?,
        1500
    );
    assert_eq!(desk.count("SELECT count(DISTINCT operation_id) FROM dead_letters_audit").await?, 1);
    Ok(())
}

#[tokio::test]
async fn two_at_once_settle_each_dead_letter_once_and_tell_the_truth() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let all = desk.add_rows(5000, Rows::default()).await?;
    let discard =
        ["discard", "--fingerprint", CAUSE, "--reason", "x", "--expect", "5000", "--json"];
    let (one, other) = tokio::try_join!(
        desk.command_as(&desk.database.url, "alice", &discard),
        desk.command_as(&desk.database.url, "bob", &discard)
    )?;
    let mut discarded = BTreeSet::new();
    for (ended, actor) in [(one, "alice"), (other, "bob")] {
        // One that came too late for the number that it expected has changed nothing.
        let Ok(report) = ended.json() else {
            assert!(ended.err.contains("nothing was changed"), "{ended:?}");
            continue;
        };
        let told = ids(&report["discarded"]);
        assert!(discarded.is_disjoint(&told), "both discarded the same");
        let audited = format!(
            "SELECT coalesce(array_agg(dead_letter_id), '{{}}') FROM dead_letters_audit WHERE actor = '{actor}'"
        );
        let audited: Vec<i64> = desk.sql.query_one(&audited, &[]).await?.get(0);
        assert_eq!(told, audited.into_iter().collect(), "{actor}");
        let skipped = ids(&report["not_discarded"]);
        assert_eq!(told.len() + skipped.len(), 5000, "{actor}");
        discarded.extend(told);
    }
    assert_eq!(discarded, all.into_iter().collect());
    assert_eq!(desk.count("SELECT count(*) FROM dead_letters_audit").await?, 5000);
    Ok(())
}

#[tokio::test]
async fn one_that_is_locked_or_refused_is_named_and_the_others_are_discarded() -> anyhow::Result<()>
{
    let desk = DeadLetterQueue::desk().await?;
    let found = desk.add_rows(2000, Rows::default()).await?;
    let (locked, refused) = (found[7], found[1234]);
    desk.sql
        .batch_execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'under seal'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON dead_letters FOR EACH ROW WHEN (OLD.id = {refused}) EXECUTE FUNCTION refuse()"
        ))
        .await?;
    let other = connect(&desk.database.url).await?;
    other
        .batch_execute(&format!("BEGIN; SELECT FROM dead_letters WHERE id = {locked} FOR UPDATE"))
        .await?;
    let discard =
        ["discard", "--fingerprint", CAUSE, "--reason", "x", "--expect", "2000", "--json"];
    let ended = desk.command(&discard).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!(report["discarded"].as_array().map(Vec::len), Some(1998));
    let skipped = report["not_discarded"].as_array().expect("a list");
    assert_eq!((&skipped[0]["id"], &skipped[0]["reason"]), (&json!(locked), &json!("locked")));
    assert_eq!((&skipped[1]["id"], &skipped[1]["reason"]), (&json!(refused), &json!("refused")));
    assert!(skipped[1]["detail"].as_str().is_some_and(|why| why.contains("under seal")));
    other.batch_execute("ROLLBACK").await?;
    assert_eq!(desk.in_state("open").await?, 2);
    assert_eq!(desk.count("SELECT count(*) FROM dead_letters_audit").await?, 1998);
    Ok(())
}

#[tokio::test]
async fn a_note_replaces_the_one_before_which_the_audit_keeps() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let operator = desk.person("dead_letters_operator").await?;
    let found = desk.add_rows(3, Rows::default()).await?;
    let id = found[0].to_string();
    let note = ["note", "--fingerprint", CAUSE, "--text", "ticket 4711", "--expect", "3"];
    let ended = desk.command_as(&operator, "alice", &note).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "3 dead letters have the note now.\n"));
    let ended = desk.command_as(&operator, "bob", &["note", &id, "--text", "done"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "1 dead letter has the note now.\n"));
    let ended = desk.command_as(&operator, "bob", &["note", &id, "--clear"]).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "1 dead letter has no note now.\n"));
    let notes = "SELECT count(*) FROM dead_letters WHERE note = 'ticket 4711'";
    assert_eq!(desk.count(notes).await?, 2);
    let audit = desk.audit().await?;
    assert_eq!(audit.len(), 5);
    assert_eq!(
        (&audit[3]["before"], &audit[3]["after"]),
        (&json!({ "note": "ticket 4711" }), &json!({ "note": "done" }))
    );
    assert_eq!(
        (&audit[4]["before"], &audit[4]["after"]),
        (&json!({ "note": "done" }), &json!({ "note": null }))
    );
    Ok(())
}

#[tokio::test]
async fn what_is_forgotten_is_in_no_row_any_more() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let admin = desk.person("dead_letters_admin").await?;
    let secret = Rows { reason: "no such customer: secret %s", ..Rows::default() };
    let found = desk.add_rows(3, secret).await?;
    desk.sql
        .batch_execute(
            "UPDATE dead_letters SET body = 'secret', headers = '{\"name\": \"secret\"}', properties = '{\"app_id\": \"secret\"}',
                    routing_key = 'secret', original = '{\"body\": \"secret\"}'",
        )
        .await?;
    let [first, second, open] = [found[0], found[1], found[2]].map(|id| id.to_string());
    for arguments in [
        &["note", &first, "--text", "secret"][..],
        &["discard", &first, &second, "--reason", "a test"],
    ] {
        let ended = desk.command_as(&admin, "alice", arguments).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let forget = ["forget", &first, &second, &open, "--reason", "request 4711", "--yes", "--json"];
    let ended = desk.command_as(&admin, "alice", &forget).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!(ids(&report["forgotten"]), found[..2].iter().copied().collect());
    assert_eq!(ids(&report["not_forgotten"]), found[2..].iter().copied().collect());
    assert_eq!(report["not_forgotten"][0]["state"], "open");
    let left = format!(
        "SELECT (SELECT count(*) FROM dead_letters WHERE id <> {open} AND (dead_letters::text LIKE '%secret%' OR body <> ''))
              + (SELECT count(*) FROM dead_letters_audit AS entry WHERE entry::text LIKE '%secret%')"
    );
    assert_eq!(desk.count(&left).await?, 0);
    let kept = "SELECT count(*) FROM dead_letters_audit WHERE action IN ('note', 'discard', 'forget') AND actor = 'alice'";
    assert_eq!(desk.count(kept).await?, 5);
    let shown = desk.command(&["show", &first]).await?;
    assert!(shown.out.contains("forgotten"), "{shown:?}");

    let again = desk.command_as(&admin, "alice", &forget[..3]).await?;
    assert_eq!(again.code, Some(64), "without a reason: {again:?}");
    let again = [&forget[..3], &forget[4..]].concat();
    let report = desk.command_as(&admin, "alice", &again).await?;
    assert_eq!(report.code, Some(0), "{report:?}");
    let report = report.json()?;
    assert_eq!(ids(&report["forgotten_before"]), found[..2].iter().copied().collect());
    assert_eq!(report["forgotten"], json!([]));
    Ok(())
}

#[tokio::test]
async fn an_open_dead_letter_of_a_message_that_is_forgotten_is_named() -> anyhow::Result<()> {
    let desk = DeadLetterQueue::desk().await?;
    let first = desk.add_rows(1, Rows::default()).await?[0];
    let second = desk.add_rows(1, Rows::default()).await?[0];
    let ended = desk.command(&["discard", &first.to_string(), "--reason", "x"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let forget = ["forget", "--message-id", "m1", "--reason", "x", "--yes", "--json"];
    let ended = desk.command(&forget).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report = ended.json()?;
    assert_eq!(report["forgotten"], json!([first]), "{report}");
    let kept = &report["not_forgotten"];
    assert_eq!((&kept[0]["id"], &kept[0]["state"]), (&json!(second), &json!("open")), "{report}");
    Ok(())
}

#[tokio::test]
async fn what_the_audit_has_of_a_row_that_retention_deleted_is_forgotten_too() -> anyhow::Result<()>
{
    let desk = DeadLetterQueue::desk().await?;
    let admin = desk.person("dead_letters_admin").await?;
    let id = desk.add_rows(1, Rows::default()).await?[0];
    let named = id.to_string();
    let ended = desk.command(&["note", &named, "--text", "secret"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    desk.sql.batch_execute("DELETE FROM dead_letters").await?;
    for member in ["forgotten", "forgotten_before"] {
        let forget = ["forget", &named, "--reason", "request 4711", "--yes", "--json"];
        let ended = desk.command_as(&admin, "alice", &forget).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.json()?[member], json!([id]), "{member}: {ended:?}");
    }
    let left = "SELECT count(*) FROM dead_letters_audit AS entry WHERE entry::text LIKE '%secret%'";
    assert_eq!(desk.count(left).await?, 0);
    Ok(())
}
