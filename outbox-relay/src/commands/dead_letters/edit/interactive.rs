//! Editing in an editor. The row is not locked meanwhile: a person may take hours.

use anyhow::{anyhow, bail};

use super::contents::{LetterEdit, Shown};
use super::queries::Contents;
use super::{EditArgs, Edited};
use crate::commands::dead_letters::tables::Session;
use crate::commands::edit::{EditedFile, Invalid, Signals, Terminated, ask_again};
use crate::commands::output;
use crate::commands::queries::Attribution;

/// Opens the dead letter in an editor, and stores the edit. If storing fails, the edited text is
/// kept in a file that the error names. A signal that ends the command removes the file.
pub(super) async fn edit(
    session: &Session,
    args: &EditArgs,
    contents: Contents,
    attribution: &Attribution,
) -> anyhow::Result<Edited> {
    let id = args.id;
    if !contents.is_short {
        bail!("the contents of {id} are too long for an editor: give a new body with --body-file");
    }
    let Ok(body) = String::from_utf8(contents.body.clone()) else {
        bail!(
            "the body of {id} is no text, an editor would damage it: give a new one with --body-file"
        );
    };
    let shown = Shown { headers: contents.headers.clone(), body };
    // Handled before the file is created, so that a signal can't leave it behind.
    let mut signals = Signals::new()?;
    let mut file = EditedFile::create(&format!("dead-letter-{id}.txt"), &shown.text())?;
    let edited = async {
        match ask(args, &contents, &shown, &file, &mut signals).await? {
            None => Ok(Edited::Unchanged),
            Some(edit) => signals.or_ended(args.store(session, &contents, edit, attribution)).await,
        }
    };
    let edited: anyhow::Result<Edited> = edited.await;
    edited.map_err(|error| {
        // Keep no file without an edit, for example when the editor could not be started.
        if error.is::<Terminated>() || file.read().is_ok_and(|text| text == shown.text()) {
            return error;
        }
        anyhow!("{error:#}\nthe edited text is in {}", file.keep().display())
    })
}

/// Runs the editor until its text is valid. Returns `None` if nothing was edited.
async fn ask(
    args: &EditArgs,
    contents: &Contents,
    shown: &Shown,
    file: &EditedFile,
    signals: &mut Signals,
) -> anyhow::Result<Option<LetterEdit>> {
    loop {
        args.editor.run(file, signals).await?;
        let checked = || {
            let edit = shown.parse(&file.read()?)?;
            edit.content_header(&contents.content_header, 0)?;
            anyhow::Ok(if edit.is_empty() { None } else { Some(edit) })
        };
        match checked() {
            Err(error) if error.is::<Invalid>() => {
                output::error(&format!("{error:#}"));
                if !signals.or_ended(ask_again()).await? {
                    bail!("{} was not edited", args.id);
                }
            }
            other => return other,
        }
    }
}
