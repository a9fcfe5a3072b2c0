//! The resident set size of a process, as Linux reports it.

use anyhow::Context as _;
use stack::Service;

/// The resident set size of a process, in megabytes.
#[derive(Debug, Clone, Copy)]
pub struct Rss {
    /// Now.
    pub current: u64,
    /// At the most.
    pub peak: u64,
    /// Now, without the pages of the program's file, which are many in a debug build.
    pub anonymous: u64,
}

impl Rss {
    /// The peak without the pages of the program's file: what a debug build has in common with a
    /// release build.
    #[must_use]
    pub const fn peak_of_data(&self) -> u64 {
        self.peak.saturating_sub(self.current.saturating_sub(self.anonymous))
    }

    /// Of a running service.
    ///
    /// # Errors
    /// When it does not run, or the system does not tell.
    pub fn of(service: &Service) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid()))?;
        let megabytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kilobytes = line.and_then(|line| line.split_whitespace().next());
            let kilobytes: u64 = kilobytes.with_context(|| field.to_owned())?.parse()?;
            anyhow::Ok(kilobytes >> 10)
        };
        Ok(Self {
            current: megabytes("VmRSS:")?,
            peak: megabytes("VmHWM:")?,
            anonymous: megabytes("RssAnon:")?,
        })
    }
}
