//! Processes by pid and start time, so that a signal never hits a stranger that got the pid later.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// One process of this machine: its pid, and when it started, since pids are used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid.
    pub pid: u32,
    started: String,
}

impl ProcessId {
    /// The process that has this pid now, unless there is none or it has ended.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let started = start_time(pid)?;
        Some(Self { pid, started })
    }

    /// This process.
    #[must_use]
    pub fn own() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_time(pid).unwrap_or_default() }
    }

    /// Whether it still runs. One that has ended and was not waited for is not alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Sends the signal; a process that has ended is none the worse for it.
    ///
    /// # Errors
    /// When the process belongs to someone else.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(self.pid)?);
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot send {signal} to process {pid}"))
            }
        }
    }

    /// Waits until it has ended; false when the time was too short.
    pub async fn wait_gone(&self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        while self.is_alive() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

/// When the process started, in the system's own words; none when it has ended.
#[cfg(target_os = "linux")]
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "pid (name) state ppid …": the name may hold blanks and brackets, so count from its end.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let running = !matches!(fields.first()?, &"Z" | &"X");
    running.then(|| fields.get(19).map(ToString::to_string))?
}

/// When the process started, in the system's own words; none when it has ended.
#[cfg(not(target_os = "linux"))]
fn start_time(pid: u32) -> Option<String> {
    let mut ps = Command::new("ps");
    ps.args(["-o", "stat=,lstart=", "-p", &pid.to_string()]);
    // The same words in every shell from which a command of the stack may be started.
    let output = ps.env("LC_ALL", "C").env("TZ", "UTC").output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// A process that we started, or found again by its [`ProcessId`].
#[derive(Debug)]
pub struct Process {
    pub(crate) id: ProcessId,
    exit: Arc<OnceLock<ExitStatus>>,
}

impl Process {
    /// Starts the command in a process group of its own (Ctrl-C in our terminal does not reach
    /// it) with its output appended to `log`. It goes on when this value is dropped.
    ///
    /// # Errors
    /// When the program is not there or the log can't be written.
    pub fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write the log {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;

        let pid = child.id();
        let id = ProcessId { pid, started: start_time(pid).unwrap_or_default() };
        let exit = Arc::new(OnceLock::new());
        let exit_seen = Arc::clone(&exit);
        // Waits from the first moment, so that an ended child never stays behind as a zombie.
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                exit_seen.get_or_init(|| status);
            }
        });
        Ok(Self { id, exit })
    }

    /// Takes charge of a process that someone else started.
    #[must_use]
    pub fn adopt(id: ProcessId) -> Self {
        Self { id, exit: Arc::default() }
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.exit.get().is_none() && self.id.is_alive()
    }

    /// How it ended, if it did and we started it.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit.get().copied()
    }

    /// Signals, waits, and kills what has not ended by then; false when it had to be killed.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn stop(&self, signal: Signal, patience: Duration) -> anyhow::Result<bool> {
        self.id.signal(signal)?;
        if self.id.wait_gone(patience).await {
            return Ok(true);
        }
        self.id.signal(Signal::SIGKILL)?;
        anyhow::ensure!(
            self.id.wait_gone(Duration::from_secs(20)).await,
            "process {} outlives SIGKILL; it hangs in the kernel",
            self.id.pid
        );
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessId;

    #[test]
    fn a_pid_with_another_start_time_is_not_the_same_process() {
        let own = ProcessId::own();
        assert!(own.is_alive());
        assert_eq!(ProcessId::of(own.pid), Some(own.clone()));
        assert!(!ProcessId { started: "another time".to_owned(), ..own }.is_alive());
    }
}
