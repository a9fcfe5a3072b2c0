//! Editing in an editor. The row is not locked meanwhile: a person may take hours.

use std::io::stdin;

use anyhow::{Context as _, anyhow, bail};
use tokio::task::spawn_blocking;

use super::contents::{Edit, Invalid, document, parse};
use super::editor::EditedFile;
use super::preview::{Preview, preview};
use super::queries::{self, Contents, Texts};
use super::signals::{Signals, Terminated};
use super::{EditArgs, Edited, not_editable};
use crate::commands::output;
use crate::commands::queries::Attribution;
use crate::commands::session::Session;

/// The longest contents that are given to an editor, in bytes.
const LONGEST: i64 = 16 << 20;

/// Has a person edit the event, and stores the edit. If that fails, the edited text stays in a file
/// that the error names, unless a signal ends the command: then nobody would read that.
pub(super) async fn edit(
    session: &Session,
    args: &EditArgs,
    attribution: &Attribution,
) -> anyhow::Result<Edited> {
    let event_id = args.event_id;
    let Some(contents) = queries::find_contents(session, event_id, LONGEST, None).await? else {
        return Err(not_editable(session, event_id).await?);
    };
    let Contents { texts, digest } = contents;
    let shown = match texts {
        Texts::Shown(shown) => shown,
        Texts::TooLong => bail!(
            "the contents of {event_id} are longer than {LONGEST} bytes: give new ones with --payload-file and --headers-file"
        ),
        Texts::NotUtf8 => bail!(
            "the contents of {event_id} are not UTF-8, as a database with the encoding SQL_ASCII may hold them: an editor \
             would damage them; give new ones with --payload-file, --headers-file and --type"
        ),
    };
    // Before there is a file that a signal must not leave behind.
    let mut signals = Signals::new()?;
    let mut file = EditedFile::create(&format!("event-{event_id}.json"), &document(&shown))?;
    let edited = async {
        let prepared = ask(session, args, &shown, &file, &mut signals).await?;
        let Some((edit, preview)) = prepared else { return Ok(Edited::Unchanged) };
        let store = args.store(session, &edit, preview, Some(&digest), attribution);
        signals.or_ended(store).await
    };
    let edited: anyhow::Result<Edited> = edited.await;
    edited.map_err(|error| {
        // An editor that could not be started has edited nothing.
        if error.is::<Terminated>() || file.read().is_ok_and(|text| text == document(&shown)) {
            return error;
        }
        anyhow!("{error:#}\nthe edited text is in {}", file.keep().display())
    })
}

/// Runs the editor until the text is that of an event that could be a message. Returns `None` if
/// nothing was edited.
async fn ask(
    session: &Session,
    args: &EditArgs,
    shown: &[String; 3],
    file: &EditedFile,
    signals: &mut Signals,
) -> anyhow::Result<Option<(Edit, Preview)>> {
    loop {
        args.editor.run(file, signals).await?;
        let checked = async {
            let edit = parse(&file.read()?, shown)?;
            if edit == Edit::default() {
                return Ok(None);
            }
            let preview = preview(session, args.event_id, &edit, &args.relay).await?;
            Ok(Some((edit, preview)))
        };
        match signals.or_ended(checked).await {
            Err(error) if error.is::<Invalid>() => {
                output::error(&format!("{error:#}"));
                if !signals.or_ended(ask_again()).await? {
                    bail!("{} was not edited", args.event_id);
                }
            }
            other => return other,
        }
    }
}

/// Asks whether to go on editing, and returns the answer.
pub(in crate::commands) async fn ask_again() -> anyhow::Result<bool> {
    output::prompt("Go on editing? [Y/n] ");
    let answer = spawn_blocking(|| {
        let mut line = String::new();
        stdin().read_line(&mut line).map(|length| (length, line))
    });
    let (length, line) = answer.await?.context("no answer can be read")?;
    // The end of input is no yes, which would be asked for ever.
    Ok(length > 0 && !matches!(line.trim(), "n" | "N" | "no"))
}
