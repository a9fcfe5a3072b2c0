//! `outbox-relay edit` with an editor, at a terminal.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pipeline_tests::command::Ended;
use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::{Outbox, eventually};
use pipeline_tests::temp_folder::TempFolder;
use pipeline_tests::terminal::{on_a_terminal, on_a_terminal_after};

/// Edits an event at a terminal with a shell script as the editor, and types `typed`.
async fn edit(
    outbox: &Outbox,
    url: &str,
    id: &str,
    script: &str,
    typed: &str,
) -> anyhow::Result<Ended> {
    let editor = format!("sh {script}");
    let arguments =
        ["edit", id, "--reason", "x", "--database-url", url, "--editor", editor.as_str()];
    on_a_terminal(outbox, &arguments, typed).await
}

async fn payload(outbox: &Outbox, id: &str) -> anyhow::Result<String> {
    let query = "SELECT payload::text FROM outbox WHERE event_id = $1::text::uuid";
    Ok(outbox.sql.query_one(query, &[&id]).await?.get(0))
}

/// The path of the file that an error names.
fn kept(ended: &Ended) -> &str {
    let behind = ended.out.split_once("the edited text is in ").map_or("", |(_, behind)| behind);
    behind.lines().next().unwrap_or_default().trim()
}

#[tokio::test]
async fn what_a_person_saves_is_stored_and_the_file_is_theirs_alone_and_removed()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    let folder = TempFolder::new()?;
    let (path, mode, copy) = (folder.path("path"), folder.path("mode"), folder.path("copy"));
    let script = format!(
        "echo \"$1\" > {path}; stat -c %a \"$1\" > {mode}; cp \"$1\" {copy}; cp \"$1\" \"$1~\"; sed -i s/before/after/ \"$1\""
    );
    let script = folder.write("editor", &script)?;
    let ended = edit(&outbox, &operator, &id, &script, "").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("The event is edited (payload).\r\n"), "{ended:?}");
    assert!(ended.out.contains("is held back, as before"), "{ended:?}");
    assert_eq!(payload(&outbox, &id).await?, "{\"as\": \"after\"}");
    assert_eq!(std::fs::read_to_string(&mode)?.trim(), "600");
    let shown = std::fs::read_to_string(&copy)?;
    let expected = "{\n    \"event_type\": \"order.created\",\n    \"headers\": {\n    },\n    \"payload\": {\n        \"as\": \"before\"\n    }\n}\n";
    assert_eq!(shown, expected);
    let path = std::fs::read_to_string(&path)?;
    let its_folder = Path::new(path.trim()).parent().expect("it is in a folder");
    assert!(!its_folder.exists(), "{path} and the editor's copy are removed");

    let untouched = folder.write("untouched", &format!("echo \"$1\" > {}", folder.path("path")))?;
    let ended = edit(&outbox, &operator, &id, &untouched, "").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("Nothing is changed"), "{ended:?}");
    assert!(!Path::new(folder.wait_for("path").await?.trim()).exists());
    assert_eq!(outbox.audit().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn of_two_who_edit_the_same_event_one_wins_and_the_other_is_told_and_loses_nothing()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    let folder = TempFolder::new()?;
    // Each has opened the event before either saves.
    let script = |own: &str, other: &str| {
        let (mine, theirs) = (folder.path(own), folder.path(other));
        let script = format!(
            "sed -i s/before/{own}/ \"$1\"; touch {mine}; while [ ! -e {theirs} ]; do sleep 0.02; done"
        );
        folder.write(&format!("{own}-editor"), &script)
    };
    let (first, second) = (script("first", "second")?, script("second", "first")?);
    let (first, second) = tokio::try_join!(
        edit(&outbox, &operator, &id, &first, ""),
        edit(&outbox, &operator, &id, &second, "")
    )?;
    let (winner, loser, lost) = if first.code == Some(0) {
        ("first", second, "second")
    } else {
        assert_eq!(second.code, Some(0), "{first:?} {second:?}");
        ("second", first, "first")
    };
    assert_eq!(payload(&outbox, &id).await?, format!("{{\"as\": \"{winner}\"}}"));
    assert_eq!(loser.code, Some(1), "{loser:?}");
    assert!(loser.out.contains("somebody else changed it meanwhile"), "{loser:?}");
    let path = kept(&loser);
    assert!(std::fs::read_to_string(path)?.contains(lost), "{loser:?}");
    assert_eq!(std::fs::metadata(path)?.permissions().mode() & 0o777, 0o600);
    std::fs::remove_dir_all(Path::new(path).parent().expect("its own folder"))?;
    assert_eq!(outbox.audit().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_event_is_not_locked_while_a_person_edits_it() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    let folder = TempFolder::new()?;
    let (opened, go) = (folder.path("opened"), folder.path("go"));
    let script = format!(
        "sed -i s/before/after/ \"$1\"; touch {opened}; while [ ! -e {go} ]; do sleep 0.02; done"
    );
    let script = folder.write("editor", &script)?;
    let meanwhile = async {
        folder.wait_for("opened").await?;
        outbox.sql.batch_execute("UPDATE outbox SET next_attempt_at = NULL").await?;
        let mut relay = outbox.relay(&[])?;
        relay.until_idle().await?;
        assert_eq!(outbox.depth("all").await?, 1, "it is published meanwhile");
        folder.write("go", "")?;
        anyhow::Ok(())
    };
    let (ended, published) = tokio::join!(edit(&outbox, &operator, &id, &script, ""), meanwhile);
    published?;
    let ended = ended?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("it was published at"), "{ended:?}");
    let path = kept(&ended);
    assert!(std::fs::read_to_string(path)?.contains("after"), "{ended:?}");
    std::fs::remove_dir_all(Path::new(path).parent().expect("its own folder"))?;
    assert_eq!(payload(&outbox, &id).await?, "{\"as\": \"before\"}");
    Ok(())
}

#[tokio::test]
async fn a_mistake_is_shown_and_the_person_may_go_on_or_keep_the_text() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    let folder = TempFolder::new()?;
    // First a missing quote, then headers that can't be a message's, then as it should be.
    let script = format!(
        "if [ ! -e {0} ]; then touch {0}; sed -i 's/\"before\"/\"before/' \"$1\"
         elif [ ! -e {1} ]; then touch {1}; sed -i 's/\"before/\"after\"/; s/\"headers\": {{/\"headers\": {{ \"a\": []/' \"$1\"
         else sed -i 's/\"a\": \\[\\]//' \"$1\"; fi",
        folder.path("once"),
        folder.path("twice")
    );
    let script = folder.write("editor", &script)?;
    let ended = edit(&outbox, &operator, &id, &script, "y\n\n").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("the text is no JSON: "), "{ended:?}");
    assert!(ended.out.contains("the header \"a\" is an array"), "{ended:?}");
    assert_eq!(payload(&outbox, &id).await?, "{\"as\": \"after\"}");

    let broken = folder.write("broken", "echo no JSON > \"$1\"")?;
    let ended = edit(&outbox, &operator, &id, &broken, "n\n").await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let path = kept(&ended);
    assert_eq!(std::fs::read_to_string(path)?, "no JSON\n");
    std::fs::remove_dir_all(Path::new(path).parent().expect("its own folder"))?;

    let failing = folder.write("failing", "exit 7")?;
    let ended = edit(&outbox, &operator, &id, &failing, "").await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("set VISUAL or EDITOR"), "{ended:?}");
    assert_eq!(kept(&ended), "", "nothing was edited: {ended:?}");
    Ok(())
}

#[tokio::test]
async fn an_interrupt_in_the_editor_leaves_no_file_behind() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    let folder = TempFolder::new()?;
    let (path, opened) = (folder.path("path"), folder.path("opened"));
    let script =
        folder.write("editor", &format!("echo \"$1\" > {path}; touch {opened}; exec sleep 600"))?;
    let editor = format!("sh {script}");
    let arguments =
        ["edit", &id, "--reason", "x", "--database-url", &operator, "--editor", editor.as_str()];
    let ready = async { folder.wait_for("opened").await.map(drop) };
    let ended = on_a_terminal_after(&outbox, &arguments, ready, "\x03").await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("set VISUAL or EDITOR"), "{ended:?}");
    let path = folder.wait_for("path").await?;
    assert!(Path::new(path.trim()).is_absolute() && !Path::new(path.trim()).exists(), "{path}");
    assert!(outbox.audit().await?.is_empty());
    Ok(())
}

/// Sends a signal to the program that has started this script, through any shell in between.
const SIGNAL: &str = "
    pid=$PPID
    while [ \"$(cat /proc/$pid/comm)\" != outbox-relay ]; do pid=$(awk '/^PPid:/ { print $2 }' /proc/$pid/status); done
    kill -s $signal $pid";

#[tokio::test]
async fn a_signal_that_ends_the_command_leaves_neither_the_file_nor_the_editor_behind()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    for signal in ["TERM", "HUP", "QUIT"] {
        let folder = TempFolder::new()?;
        let script = format!(
            "signal={signal}; echo \"$1\" > {}; echo $$ > {}; sed -i s/before/SECRET/ \"$1\"; cp \"$1\" \"$1~\"
             {SIGNAL}
             exec sleep 600",
            folder.path("path"),
            folder.path("pid")
        );
        let script = folder.write("editor", &script)?;
        let ended = edit(&outbox, &operator, &id, &script, "").await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let said = format!("ended by SIG{signal}: the edited text is removed");
        assert!(ended.out.contains(&said), "{ended:?}");
        let path = folder.wait_for("path").await?;
        let its_folder = Path::new(path.trim()).parent().expect("it is in a folder");
        assert!(its_folder.is_absolute() && !its_folder.exists(), "{path} is left");
        eventually("the editor has ended", async || {
            let pid = folder.wait_for("pid").await?;
            let process = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            // A shell in between leaves it to the system, which may be slow to forget it.
            Ok(process.map_or(true, |process| process.contains(") Z ")))
        })
        .await?;
        assert_eq!(payload(&outbox, &id).await?, "{\"as\": \"before\"}");
    }
    assert!(outbox.audit().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_editor_that_ends_first_when_the_terminal_is_closed_leaves_no_file_behind()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let operator = outbox.person("outbox_operator").await?;
    let id = add(&outbox, "1", Some("infinity")).await?;
    for status in ["0", "1"] {
        let folder = TempFolder::new()?;
        let script = format!(
            "signal=HUP; echo \"$1\" > {}; sed -i s/before/SECRET/ \"$1\"
             {SIGNAL}
             exit {status}",
            folder.path("path")
        );
        let script = folder.write("editor", &script)?;
        let ended = edit(&outbox, &operator, &id, &script, "").await?;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let path = folder.wait_for("path").await?;
        assert!(!Path::new(path.trim()).exists(), "{path} is left: {ended:?}");
        assert_eq!(payload(&outbox, &id).await?, "{\"as\": \"before\"}");
    }
    Ok(())
}
