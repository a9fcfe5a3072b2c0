//! `outbox-relay dead-letters edit` with an editor, at a terminal.

use std::path::Path;

use pipeline_tests::command::Ended;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::outbox::connect;
use pipeline_tests::temp_folder::TempFolder;
use pipeline_tests::terminal::run_on_a_terminal;

/// A desk with one dead letter with these contents, and its id.
async fn with_letter(body: &str) -> anyhow::Result<(DeadLetterQueue, String)> {
    let desk = DeadLetterQueue::desk().await?;
    let id = desk.add_rows(1, Rows::default()).await?[0];
    let update = "UPDATE dead_letters SET body = $1, headers = '{\"tenant\": \"a\"}' WHERE id = $2";
    desk.sql.execute(update, &[&body.as_bytes(), &id]).await?;
    Ok((desk, id.to_string()))
}

/// Edits a dead letter at a terminal with a shell script as the editor, and types `typed`.
async fn edit(
    desk: &DeadLetterQueue,
    id: &str,
    script: &str,
    typed: &str,
) -> anyhow::Result<Ended> {
    let operator = desk.person("dead_letters_operator").await?;
    let settings = [("DEAD_LETTERS_DATABASE_URL", operator.as_str())];
    let editor = format!("sh {script}");
    let arguments = ["dead-letters", "edit", id, "--reason", "x", "--editor", editor.as_str()];
    run_on_a_terminal(&settings, &arguments, async { Ok(()) }, typed).await
}

async fn body(desk: &DeadLetterQueue) -> anyhow::Result<String> {
    let row =
        desk.sql.query_one("SELECT convert_from(body, 'UTF8') FROM dead_letters", &[]).await?;
    Ok(row.get(0))
}

/// The path of the file that an error names.
fn kept(ended: &Ended) -> &str {
    let behind = ended.out.split_once("the edited text is in ").map_or("", |(_, behind)| behind);
    behind.lines().next().unwrap_or_default().trim()
}

#[tokio::test]
async fn what_a_person_saves_is_stored_and_the_file_is_removed() -> anyhow::Result<()> {
    let (desk, id) = with_letter("{\"as\":  \"before\"}").await?;
    let folder = TempFolder::new()?;
    let (path, mode, copy) = (folder.path("path"), folder.path("mode"), folder.path("copy"));
    let script = format!(
        "echo \"$1\" > {path}; stat -c %a \"$1\" > {mode}; cp \"$1\" {copy}; sed -i s/before/after/ \"$1\"; echo >> \"$1\""
    );
    let script = folder.write("editor", &script)?;
    let ended = edit(&desk, &id, &script, "").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("The dead letter is edited (body).\r\n"), "{ended:?}");
    // Its own spaces, and not the line break that an editor adds.
    assert_eq!(body(&desk).await?, "{\"as\":  \"after\"}");
    let shown = std::fs::read_to_string(&copy)?;
    assert_eq!(shown, "{\n    \"tenant\": \"a\"\n}\n---- body ----\n{\"as\":  \"before\"}");
    assert_eq!(std::fs::read_to_string(&mode)?.trim(), "600");
    assert!(!Path::new(std::fs::read_to_string(&path)?.trim()).exists());

    let untouched = folder.write("untouched", "true")?;
    let ended = edit(&desk, &id, &untouched, "").await?;
    assert!(ended.out.contains("Nothing is changed"), "{ended:?}");
    assert_eq!(desk.audit().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_invalid_edit_can_be_corrected_or_abandoned() -> anyhow::Result<()> {
    let (desk, id) = with_letter("{\"n\": 1}").await?;
    let folder = TempFolder::new()?;
    let second = folder.path("second");
    let mend = format!(
        "if [ -e {second} ]; then sed -i 's/\"n\": $/\"n\": 2}}/' \"$1\"; else touch {second}; sed -i 's/\"n\": 1}}/\"n\": /' \"$1\"; fi"
    );
    let script = folder.write("mend", &mend)?;
    let ended = edit(&desk, &id, &script, "y\n").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("the body is no JSON any more"), "{ended:?}");
    assert_eq!(body(&desk).await?, "{\"n\": 2}");

    let give_up = folder.write("give_up", "sed -i 's/\"n\": 2}/broken/' \"$1\"")?;
    let ended = edit(&desk, &id, &give_up, "n\n").await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let path = kept(&ended);
    assert!(std::fs::read_to_string(path)?.contains("broken"), "{ended:?}");
    std::fs::remove_dir_all(Path::new(path).parent().expect("its own folder"))?;
    assert_eq!(body(&desk).await?, "{\"n\": 2}");
    Ok(())
}

#[tokio::test]
async fn an_edit_does_not_undo_what_somebody_else_has_changed_meanwhile() -> anyhow::Result<()> {
    let (desk, id) = with_letter("{\"n\": 1}").await?;
    let folder = TempFolder::new()?;
    let (opened, go) = (folder.path("opened"), folder.path("go"));
    let script = format!(
        "sed -i 's/: 1/: 2/' \"$1\"; touch {opened}; while [ ! -e {go} ]; do sleep 0.02; done"
    );
    let script = folder.write("editor", &script)?;
    let meanwhile = async {
        folder.wait_for("opened").await?;
        // It is not locked.
        let other = connect(&desk.database.url).await?;
        other.batch_execute("UPDATE dead_letters SET body = '{\"n\": 3}'").await?;
        folder.write("go", "")?;
        anyhow::Ok(())
    };
    let (ended, ()) = tokio::try_join!(edit(&desk, &id, &script, ""), meanwhile)?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("somebody else changed it meanwhile"), "{ended:?}");
    assert_eq!(body(&desk).await?, "{\"n\": 3}");
    let path = kept(&ended);
    assert!(std::fs::read_to_string(path)?.contains("2}"), "{ended:?}");
    std::fs::remove_dir_all(Path::new(path).parent().expect("its own folder"))?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_text_is_not_given_to_an_editor() -> anyhow::Result<()> {
    let (desk, id) = with_letter("x").await?;
    desk.sql.batch_execute(r"UPDATE dead_letters SET body = '\x00ff'").await?;
    let ended = edit(&desk, &id, "true", "").await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("give a new one with --body-file"), "{ended:?}");
    Ok(())
}
