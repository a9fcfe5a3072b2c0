//! A command that blocks when it prints one of its lines: everything before that line is done,
//! nothing after it.

use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::consumer_fixture::until;

/// The capacity of a pipe in bytes. It is allocated in pages, each filled as long as there is room
/// (<https://man7.org/linux/man-pages/man7/pipe.7.html>).
const PIPE: usize = 64 << 10;

/// The command.
#[derive(Debug)]
pub struct BlockedCommand {
    child: Child,
    reader: PipeReader,
    filled: usize,
}

impl BlockedCommand {
    /// Starts `customer-service` with these arguments and variables. `printed` is its output before
    /// the line at which it blocks.
    ///
    /// # Errors
    /// When it can't be started, or is not held up in time.
    pub async fn start(
        arguments: &[&str],
        settings: &[(&str, &str)],
        printed: &str,
    ) -> anyhow::Result<Self> {
        let (reader, mut writer): (PipeReader, PipeWriter) = std::io::pipe()?;
        let filled = PIPE.checked_sub(printed.len()).context("a pipe has no room for that")?;
        // A line longer than the rest of the last page waits until a page is free.
        writer.write_all(&vec![b'.'; filled])?;
        let mut command = Command::new(stack::binary("customer-service").await?);
        command.args(arguments).env_clear().envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        let child = command.spawn()?;
        drop(command);
        let mut held = Self { child, reader, filled };
        let wchan = format!("/proc/{}/wchan", held.child.id());
        until(async || {
            let waits = std::fs::read_to_string(&wchan).context("it has ended")?;
            Ok(waits.contains("pipe_write").then_some(()))
        })
        .await?;
        ensure!(held.child.try_wait()?.is_none(), "it has ended");
        Ok(held)
    }

    /// Kills it while it is blocked.
    ///
    /// # Errors
    /// When it can't be killed.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Lets it continue and waits until it has ended. Returns its exit status and output.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn go_on(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            self.reader.read_to_end(&mut all)?;
            let status = self.child.wait()?;
            let printed = String::from_utf8(all.split_off(self.filled))?;
            anyhow::Ok((status.code(), printed))
        });
        reading.await?
    }
}
