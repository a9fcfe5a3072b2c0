//! Suspends a process, and resumes it even if the test fails.

use stack::{ProcessId, Signal};

/// A suspended process. Dropping this resumes it.
#[derive(Debug)]
pub struct PausedProcess(ProcessId);

impl PausedProcess {
    /// Suspends a process (SIGSTOP).
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn new(process: ProcessId) -> anyhow::Result<Self> {
        process.signal(Signal::SIGSTOP)?;
        Ok(Self(process))
    }

    /// Resumes it (SIGCONT).
    ///
    /// # Errors
    /// When it can't be signalled; not when it has ended already.
    pub fn resume(self) -> anyhow::Result<ProcessId> {
        self.0.signal(Signal::SIGCONT)?;
        Ok(self.0.clone())
    }
}

impl Drop for PausedProcess {
    fn drop(&mut self) {
        // A process that can't be signalled has ended.
        self.0.signal(Signal::SIGCONT).ok();
    }
}
