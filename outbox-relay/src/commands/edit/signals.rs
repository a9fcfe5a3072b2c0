//! Signals during an edit. None of them ends this program by itself, as the file with the contents of
//! the event, which may be personal data, would stay.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal as SignalNumber, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long an editor that is told to end may take: it restores the terminal.
const EDITOR_GRACE: Duration = Duration::from_secs(1);

/// How much earlier an editor may end over a signal than this program hears of the same one.
const SIGNAL_DELAY: Duration = Duration::from_millis(200);

/// A signal has ended the edit.
#[derive(Debug, thiserror::Error)]
#[error("ended by {0}: the edited text is removed; `show` says whether the edit was stored")]
pub(in crate::commands) struct Terminated(&'static str);

/// See the [module](self).
#[derive(Debug)]
pub(in crate::commands) struct Signals {
    /// Ctrl-C, which may be meant for the editor.
    interrupt: Signal,
    end: EndSignals,
}

/// The signals that end the command.
#[derive(Debug)]
struct EndSignals {
    terminate: Signal,
    /// The terminal is gone.
    hang_up: Signal,
    quit: Signal,
}

impl EndSignals {
    async fn recv(&mut self) -> Terminated {
        Terminated(tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
            _ = self.quit.recv() => "SIGQUIT",
        })
    }
}

impl Signals {
    pub(in crate::commands) fn new() -> anyhow::Result<Self> {
        let end = EndSignals {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, end })
    }

    /// Waits until the person leaves the editor. Fails with [`Terminated`] if a signal ends both.
    pub(super) async fn wait_for(&mut self, editor: &mut Child) -> anyhow::Result<ExitStatus> {
        loop {
            tokio::select! {
                biased;
                terminated = self.end.recv() => {
                    stop(editor).await;
                    return Err(terminated.into());
                }
                _ = self.interrupt.recv() => (),
                status = editor.wait() => {
                    let status = status.context("the editor can't be waited for")?;
                    if status.success() {
                        return Ok(status);
                    }
                    // A terminal that is closed tells both.
                    return match timeout(SIGNAL_DELAY, self.end.recv()).await {
                        Ok(terminated) => Err(terminated.into()),
                        Err(_) => Ok(status),
                    };
                }
            }
        }
    }

    /// Returns the result of `running`, or fails at Ctrl-C, and with [`Terminated`] at other signals.
    pub(in crate::commands) async fn or_ended<T>(
        &mut self,
        running: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            terminated = self.end.recv() => Err(terminated.into()),
            _ = self.interrupt.recv() => {
                bail!("interrupted: `show` says whether the edit was stored")
            }
            result = running => result,
        }
    }
}

/// Sends SIGTERM to the editor, and waits a moment for it to end.
async fn stop(editor: &mut Child) {
    let pid = editor.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // One that has ended is as good, and one that does not loses its file.
        kill(Pid::from_raw(pid), SignalNumber::SIGTERM).ok();
        timeout(EDITOR_GRACE, editor.wait()).await.ok();
    }
}
