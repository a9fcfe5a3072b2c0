//! Processes identified by pid and start time, so that a signal never hits another process that
//! reuses the pid.

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

/// A process of this machine: its pid and its start time, as pids are reused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid.
    pub pid: u32,
    started: String,
}

impl ProcessId {
    /// The process that has this pid now, or `None` if there is none or it has ended.
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

    /// Whether it is still running. A zombie is not alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Sends a signal. Does nothing if the process has ended.
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

    /// Waits until it has ended. Returns false on timeout.
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
    // "pid (name) state ppid …": the name may contain spaces and parentheses, so count from its
    // end.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let running = !matches!(fields.first()?, &"Z" | &"X");
    running.then(|| fields.get(19).map(ToString::to_string))?
}

/// When the process started, in the system's own words; none when it has ended.
#[cfg(not(target_os = "linux"))]
fn start_time(pid: u32) -> Option<String> {
    let mut ps = Command::new("ps");
    ps.args(["-o", "stat=,lstart=", "-p", &pid.to_string()]);
    // The same output in every shell, whatever its locale and time zone.
    let output = ps.env("LC_ALL", "C").env("TZ", "UTC").output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    let (state, started) = line.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// A process that this program started, or took over by its [`ProcessId`].
#[derive(Debug)]
pub struct Process {
    pub(crate) id: ProcessId,
    exit: Arc<OnceLock<ExitStatus>>,
}

impl Process {
    /// Starts the command in its own process group, which Ctrl-C does not reach, with its output
    /// appended to `log`. It keeps running when this value is dropped.
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
        // Waits from the start, so that an ended child never remains as a zombie.
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                exit_seen.get_or_init(|| status);
            }
        });
        Ok(Self { id, exit })
    }

    /// Takes over a process that another program started.
    #[must_use]
    pub fn adopt(id: ProcessId) -> Self {
        Self { id, exit: Arc::default() }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Whether it is still running.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.exit.get().is_none() && self.id.is_alive()
    }

    /// Its exit status, if it has ended and was started here.
    #[must_use]
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.exit.get().copied()
    }

    /// Sends `signal`, waits, and kills the process if it has not ended by then. Returns false if
    /// it had to be killed.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub async fn stop(&self, signal: Signal, timeout: Duration) -> anyhow::Result<bool> {
        self.id.signal(signal)?;
        if self.id.wait_gone(timeout).await {
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
