//! Runs the commands of this program, each as a process of its own: what the console shows and does
//! is what they print and do, a slow or broken one harms no page but its own, and its memory is
//! free again when it ends.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service_kit::config::EXIT_USAGE;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStdout, Command};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::child_output::{LARGEST_OUTPUT, read_notes, read_report, read_text};
pub(super) use super::output::{InvocationError, Output};
use super::passed_on::PassedOnArgs;
use super::users::User;
use crate::commands::EXIT_UNAVAILABLE;
use crate::commands::progress::ProgressLine;

/// The running program, even if an upgrade has replaced its file.
#[cfg(target_os = "linux")]
fn program() -> std::io::Result<std::path::PathBuf> {
    Ok("/proc/self/exe".into())
}

/// The running program.
#[cfg(not(target_os = "linux"))]
fn program() -> std::io::Result<std::path::PathBuf> {
    std::env::current_exe()
}

/// How many commands that only read run at a time: each needs a session with the database.
const READERS: usize = 8;

/// How many of them read the contents of an event or a dead letter.
const READERS_OF_CONTENTS: usize = 2;

/// How many changes run at a time.
pub(super) const CHANGES: usize = 8;

/// How many of them have large contents: each holds these several times, as PostgreSQL does.
const LARGE_CHANGES: usize = 2;

/// How many bytes make contents large.
const LARGE: usize = 256 * 1024;

/// What is said if a page does not get its turn.
pub(super) const MANY_PAGES: &str = "too many pages are being made at once: try again soon";

/// How long a page waits for its turn.
pub(super) const TURN: Duration = Duration::from_secs(5);

/// How long a statement of a page may take.
const STATEMENT: &str = "2s";

/// How long a command that only reads may take: it may run several statements.
const READING: Duration = Duration::from_secs(10);

/// What a command is told beside its arguments, which every user of the machine can read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told<'a> {
    /// What it reads from standard input.
    pub(super) contents: Option<&'a str>,
    /// Why it is run, for the audit table.
    pub(super) reason: Option<&'a str>,
}

/// The turn of a change. Dropping it lets others begin.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _large: Option<SemaphorePermit<'a>>,
    _change: SemaphorePermit<'a>,
}

/// Runs commands.
pub(super) struct Commands {
    environment: Vec<(&'static str, String)>,
    without_roles: bool,
    readers: Semaphore,
    /// Of commands that read contents.
    pub(super) contents: Semaphore,
    changes: Semaphore,
    large_changes: Semaphore,
    /// Cancelled when the process is told to stop.
    stopping: CancellationToken,
}

impl Commands {
    /// Commands with these settings, beside those in the environment.
    pub(super) fn new(
        passed_on: &PassedOnArgs,
        without_roles: bool,
        stopping: CancellationToken,
    ) -> Self {
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map(|path| path.to_string_lossy().into_owned())
        };
        let url = |text: Option<&String>| text.cloned();
        let PassedOnArgs {
            database_url,
            database_url_file,
            dead_letters_database_url,
            dead_letters_database_url_file,
            inboxes,
            outbox_table,
            rabbitmq_url,
            rabbitmq_url_file,
        } = passed_on;
        let settings = [
            ("DATABASE_URL", url(database_url.as_ref().map(|url| &url.text))),
            ("DATABASE_URL_FILE", path(database_url_file)),
            (
                "DEAD_LETTERS_DATABASE_URL",
                url(dead_letters_database_url.as_ref().map(|url| &url.text)),
            ),
            ("DEAD_LETTERS_DATABASE_URL_FILE", path(dead_letters_database_url_file)),
            ("OUTBOX_INBOXES", path(inboxes)),
            ("OUTBOX_TABLE", Some(outbox_table.text.clone())),
            ("RABBITMQ_URL", url(rabbitmq_url.as_ref().map(|url| &url.text))),
            ("RABBITMQ_URL_FILE", path(rabbitmq_url_file)),
        ];
        let given = settings.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Self {
            environment: given.collect(),
            without_roles,
            readers: Semaphore::new(READERS),
            contents: Semaphore::new(READERS_OF_CONTENTS),
            changes: Semaphore::new(CHANGES),
            large_changes: Semaphore::new(LARGE_CHANGES),
            stopping,
        }
    }

    /// Runs a command that only reads, with the rights of `user`.
    ///
    /// # Errors
    /// When it fails. Exit statuses by which a command tells what it found are no failure, if it
    /// printed that.
    pub(super) async fn read(
        &self,
        args: &[String],
        user: &User,
    ) -> Result<Output, InvocationError> {
        let turn = timeout(TURN, self.readers.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(InvocationError::Busy(MANY_PAGES)) };
        let mut args = args.to_vec();
        insert_option(&mut args, format!("--timeout={STATEMENT}"));
        let run = self.run(&args, Told::default(), user, &self.stopping, |_| (), read_text);
        let output = timeout(READING, run).await.map_err(|_| InvocationError::TooSlow)??;
        if output.text.len() as u64 > LARGEST_OUTPUT {
            return Err(InvocationError::TooLarge);
        }
        if output.status == 0 || (output.status != EXIT_USAGE && !output.text.is_empty()) {
            return Ok(output);
        }
        Err(match output.status {
            EXIT_USAGE => InvocationError::Usage(output.error()),
            EXIT_UNAVAILABLE => InvocationError::Unavailable(output.error()),
            _ => InvocationError::Failed(output.error()),
        })
    }

    /// Returns a token that stops a change, as the end of this process does.
    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stopping.child_token()
    }

    /// Waits until a change with so many bytes of contents may begin.
    ///
    /// # Errors
    /// When it is told to `stop` meanwhile.
    pub(super) async fn turn_to_change(
        &self,
        contents: usize,
        stop: &CancellationToken,
    ) -> Result<Turn<'_>, InvocationError> {
        let turn = async {
            let large = match contents > LARGE {
                true => Some(self.large_changes.acquire().await?),
                false => None,
            };
            Ok(Turn { _large: large, _change: self.changes.acquire().await? })
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(InvocationError::NotBegun),
            turn = turn => turn.map_err(|_: AcquireError| InvocationError::NotBegun),
        }
    }

    /// Runs a change with the rights of `user`, however long it takes. `on_progress` is told how far
    /// it is. When it is told to `stop`, it gets SIGTERM, and ends as it does at a terminal. Of long
    /// lists in its report the beginning is kept.
    ///
    /// # Errors
    /// When it can't be run.
    pub(super) async fn change(
        &self,
        args: &[String],
        told: Told<'_>,
        user: &User,
        stop: &CancellationToken,
        on_progress: impl Fn(ProgressLine),
    ) -> Result<Output, InvocationError> {
        self.run(args, told, user, stop, on_progress, read_report).await
    }

    async fn run(
        &self,
        args: &[String],
        Told { contents, reason }: Told<'_>,
        user: &User,
        stop: &CancellationToken,
        on_progress: impl Fn(ProgressLine),
        read_stdout: impl AsyncFnOnce(Option<ChildStdout>) -> std::io::Result<String>,
    ) -> Result<Output, InvocationError> {
        let broken = |error: std::io::Error| InvocationError::Broken(error.to_string());
        let mut command = Command::new(program().map_err(broken)?);
        let stdin = if contents.is_some() { Stdio::piped() } else { Stdio::null() };
        command.args(args).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("OUTBOX_ACTOR", &user.name).env("NO_COLOR", "1").kill_on_drop(true);
        command.env_remove("OUTBOX_REASON");
        command.envs(reason.map(|reason| ("OUTBOX_REASON", reason)));
        if !self.without_roles {
            command.env("OUTBOX_ROLE", user.rights.outbox_role());
            command.env("DEAD_LETTERS_ROLE", user.rights.dead_letters_role());
        }
        // Ctrl-C at a terminal must not end a change that the console still waits for.
        command.process_group(0);
        let mut child = command.spawn().map_err(broken)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdin = child.stdin.take();
        let write = async {
            if let (Some(mut stdin), Some(contents)) = (stdin, contents) {
                // A command that reads no more says why.
                stdin.write_all(contents.as_bytes()).await.ok();
            }
        };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let printed =
            async { tokio::join!(read_stdout(stdout), read_notes(stderr, on_progress), write) };
        let mut printed = std::pin::pin!(printed);
        let (text, notes, ()) = tokio::select! {
            printed = &mut printed => printed,
            () = stop.cancelled() => {
                // It has not been waited for, so that its pid is its own.
                pid.and_then(|pid| kill(pid, Signal::SIGTERM).ok());
                printed.await
            }
        };
        let (text, notes) = (text.map_err(broken)?, notes.map_err(broken)?);
        let status = child.wait().await.map_err(broken)?;
        let is_told = stop.is_cancelled() && status.signal() == Some(Signal::SIGTERM as i32);
        let status = exit_status(status).ok_or_else(|| {
            if is_told {
                return InvocationError::Stopped;
            }
            InvocationError::Broken("the command was killed: too little memory?".to_owned())
        })?;
        Ok(Output { status, text, notes })
    }
}

/// Adds an option to the arguments of a command: before what is no option.
pub(super) fn insert_option(args: &mut Vec<String>, option: String) {
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    args.insert(end, option);
}

/// The status by which a process said how it ended; `None` if it was killed.
fn exit_status(status: ExitStatus) -> Option<u8> {
    status.code().and_then(|code| u8::try_from(code).ok())
}
