//! A database with the encoding `SQL_ASCII`, whose texts may hold any bytes.

use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::{Outbox, connect};
use pipeline_tests::temp_folder::TempFolder;
use pipeline_tests::terminal::on_a_terminal;

/// Writes a letter into the first event as one byte, as LATIN1 has it.
const LATIN1: &str = "UPDATE outbox SET payload = jsonb_build_object('as', 'Bogot' || chr(225)) WHERE aggregate_id = '1'";

async fn sql_ascii() -> anyhow::Result<Outbox> {
    let servers = stack::shared().await?;
    let (database, vhost) = tokio::try_join!(servers.database("ascii"), servers.vhost("ascii"))?;
    let server = connect(&servers.postgres.url("postgres")).await?;
    let name = &database.name;
    server.batch_execute(&format!("DROP DATABASE \"{name}\"")).await?;
    let create =
        format!("CREATE DATABASE \"{name}\" ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    server.batch_execute(&create).await?;
    Outbox::on(database, vhost).await
}

#[tokio::test]
async fn an_event_that_is_not_utf_8_is_shown_and_changed_like_any_other() -> anyhow::Result<()> {
    let outbox = sql_ascii().await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    outbox.sql.batch_execute(LATIN1).await?;
    for arguments in [
        &["events"][..],
        &["show", &id],
        &["retry", &id],
        &["discard", &id, "--reason", "x"],
        &["show", &id],
    ] {
        let ended = outbox.command(arguments).await?;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let shows = arguments[0] == "show";
        assert_eq!(ended.out.contains("Bogot\u{fffd}"), shows, "{arguments:?}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_editor_is_not_given_what_it_would_damage() -> anyhow::Result<()> {
    let outbox = sql_ascii().await?;
    let operator = outbox.person("outbox_operator").await?;
    let [latin1, utf8] =
        [add(&outbox, "1", Some("infinity")).await?, add(&outbox, "2", Some("infinity")).await?];
    outbox.sql.batch_execute(LATIN1).await?;
    let utf8_too = "UPDATE outbox SET payload = '{\"as\": \"Bogotá\"}' WHERE aggregate_id = '2'";
    outbox.sql.batch_execute(utf8_too).await?;
    let folder = TempFolder::new()?;
    let script = folder.write("editor", "sed -i s/Bogot/BOGOT/ \"$1\"")?;
    let editor = format!("sh {script}");
    let edit = |id| {
        [
            "edit",
            id,
            "--reason",
            "x",
            "--database-url",
            operator.as_str(),
            "--editor",
            editor.as_str(),
        ]
    };
    let refused = on_a_terminal(&outbox, &edit(latin1.as_str()), "").await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.out.contains("are not UTF-8"), "{refused:?}");
    assert!(refused.out.contains("--payload-file"), "{refused:?}");
    let edited = on_a_terminal(&outbox, &edit(utf8.as_str()), "").await?;
    assert_eq!(edited.code, Some(0), "{edited:?}");
    let stored = "SELECT string_agg(encode(convert_to(payload ->> 'as', 'SQL_ASCII'), 'hex'), ' ' ORDER BY id) FROM outbox";
    let stored: String = outbox.sql.query_one(stored, &[]).await?.get(0);
    assert_eq!(stored, "426f676f74e1 424f474f54c3a1");

    let payload = folder.write("payload", "{\"as\": \"Bogotá\"}")?;
    let given = ["edit", &latin1, "--reason", "x", "--payload-file", &payload];
    let edited = outbox.command_as(&operator, &given).await?;
    assert_eq!(edited.code, Some(0), "{edited:?}");
    Ok(())
}
