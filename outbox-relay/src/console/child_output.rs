//! Reads what a command prints.

use std::fs::File;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::task::spawn_blocking;

use super::cut_lists;
use crate::commands::progress::ProgressLine;

/// The most that a command may print.
pub(super) const LARGEST_OUTPUT: u64 = 64 * 1024 * 1024;

/// The most of its errors and notes that is kept.
const LARGEST_NOTES: usize = 64 * 1024;

/// Reads all of `stream`, and keeps one byte more than [`LARGEST_OUTPUT`] at the most.
pub(super) async fn read_text(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    (&mut stream).take(LARGEST_OUTPUT + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > LARGEST_OUTPUT {
        // The command must be able to end.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the report of a change, however large it is, with its lists cut. Returns no text if it is
/// no report.
pub(super) async fn read_report(stream: Option<ChildStdout>) -> std::io::Result<String> {
    let Some(stream) = stream else { return Ok(String::new()) };
    let mut file = File::from(stream.into_owned_fd()?);
    let read = spawn_blocking(move || {
        let report = cut_lists::read(std::io::BufReader::new(&file));
        // The command must be able to end.
        std::io::copy(&mut file, &mut std::io::sink())?;
        Ok(report.map(|report| report.to_string()).unwrap_or_default())
    });
    read.await.map_err(std::io::Error::other)?
}

/// Reads errors and notes. Lines of progress are given to `on_progress`; of the others no more are
/// kept than fit into [`LARGEST_NOTES`].
pub(super) async fn read_notes(
    stream: Option<impl AsyncRead + Unpin>,
    on_progress: impl Fn(ProgressLine),
) -> std::io::Result<String> {
    let Some(stream) = stream else { return Ok(String::new()) };
    let mut stream = BufReader::new(stream);
    let mut notes = String::new();
    loop {
        let mut line = Vec::new();
        let longest = LARGEST_NOTES as u64;
        if (&mut stream).take(longest).read_until(b'\n', &mut line).await? == 0 {
            return Ok(notes.trim().to_owned());
        }
        let line = String::from_utf8_lossy(&line);
        if let Some(progress) = ProgressLine::parse(&line) {
            on_progress(progress);
        } else if notes.len() + line.len() <= LARGEST_NOTES {
            notes.push_str(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn progress_is_no_note_and_notes_are_bounded() -> std::io::Result<()> {
        let long = "x".repeat(LARGEST_NOTES);
        let text = format!("one\nprogress: 1 of 2 events\n{long}\n{long}{long}two");
        let seen = Mutex::new(Vec::new());
        let on_progress = |line: ProgressLine| seen.lock().expect("one thread").push(line.done);
        let notes = read_notes(Some(text.as_bytes()), on_progress).await?;
        assert_eq!(*seen.lock().expect("one thread"), [1]);
        assert_eq!(notes, "one\n\ntwo");
        Ok(())
    }
}
