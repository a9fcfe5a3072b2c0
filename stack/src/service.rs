//! A service as a real process, for tests of crashes, signals and exit statuses.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;

use crate::process::Process;
use crate::readiness::last_lines_of;
use crate::tempdir::TempDir;

/// Variables that a service inherits; all others come from the test.
const INHERITED: [&str; 7] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
];

/// A running service. Killed on drop, and also when the test process itself is killed.
///
/// Nothing is printed on failure; put [`last_lines`](Self::last_lines) into messages.
#[derive(Debug)]
pub struct Service {
    name: String,
    running: Process,
    log: PathBuf,
}

impl Service {
    /// Starts a program with these arguments and variables. Of the test's environment it inherits
    /// only variables that do not change its behaviour (`PATH`, `HOME` and the like).
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn spawn<A, K, V>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> anyhow::Result<Self>
    where
        A: AsRef<OsStr>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let program = program.as_ref();
        let name =
            program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        for variable in INHERITED {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        command.envs(environment);

        let tempdir = TempDir::of_this_process().await?;
        let log = tempdir.folder(&name)?.join("log");
        let running = Process::spawn(&mut command, &log)?;
        tempdir.register(&running.id, false)?;
        Ok(Self { name, running, log })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.id.pid
    }

    /// Whether it is still running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_alive()
    }

    /// All that it has written to standard output and standard error.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of its log, for the message of a failed assertion.
    #[must_use]
    pub fn last_lines(&self) -> String {
        last_lines_of(&self.log)
    }

    /// Waits until a complete line of the log contains `text`, and returns that line. Earlier lines
    /// count too.
    ///
    /// # Errors
    /// When the time is up or the process has ended without it; with the log's last lines.
    pub async fn wait_for_line(&self, text: &str, timeout: Duration) -> anyhow::Result<String> {
        let end = Instant::now() + timeout;
        loop {
            // Checked before reading, so that the last lines of an ended process count.
            let ended = !self.running.is_alive();
            let log = self.log();
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = lines.find(|line| line.contains(text)) {
                return Ok(line.trim_end().to_owned());
            }
            let why = match (ended, Instant::now() >= end) {
                (true, _) => "ended without",
                (false, true) => "did not log in time",
                (false, false) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            bail!("{} {why} a line with {text:?}; {}", self.name, self.last_lines());
        }
    }

    /// Kills it, as a crash would.
    ///
    /// # Errors
    /// When it can't be signalled; not when it has ended already.
    pub fn sigkill(&self) -> anyhow::Result<()> {
        self.running.id.signal(Signal::SIGKILL)
    }

    /// Asks it to stop (SIGTERM).
    ///
    /// # Errors
    /// When it can't be signalled; not when it has ended already.
    pub fn sigterm(&self) -> anyhow::Result<()> {
        self.running.id.signal(Signal::SIGTERM)
    }

    /// Suspends it (SIGSTOP).
    ///
    /// # Errors
    /// When it can't be signalled; not when it has ended already.
    pub fn sigstop(&self) -> anyhow::Result<()> {
        self.running.id.signal(Signal::SIGSTOP)
    }

    /// Resumes it (SIGCONT).
    ///
    /// # Errors
    /// When it can't be signalled; not when it has ended already.
    pub fn sigcont(&self) -> anyhow::Result<()> {
        self.running.id.signal(Signal::SIGCONT)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it is still running after that time; with the log's last lines.
    pub async fn wait_exit(&self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + timeout;
        while Instant::now() < end {
            if let Some(status) = self.running.exit_status() {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.running.exit_status().with_context(|| {
            format!("{} still runs after {timeout:?}; {}", self.name, self.last_lines())
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A process that can't be signalled has ended; its log is removed with the test process.
        self.sigkill().ok();
    }
}
