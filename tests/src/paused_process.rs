//! A process that is frozen for a while, and goes on whatever becomes of the test.

use stack::{ProcessId, Signal};

/// A frozen process. Dropping it lets it go on.
#[derive(Debug)]
pub struct PausedProcess(ProcessId);

impl PausedProcess {
    /// Freezes a process.
    ///
    /// # Errors
    /// When it can't be signalled.
    pub fn new(process: ProcessId) -> anyhow::Result<Self> {
        process.signal(Signal::SIGSTOP)?;
        Ok(Self(process))
    }

    /// Lets it go on.
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
        // One that can't be signalled has ended.
        self.0.signal(Signal::SIGCONT).ok();
    }
}
