//! What news comes from, and whether it can be read.

use metrics::{counter, describe_counter};

use crate::console::invocation::InvocationError;

const FAILURES: &str = "outbox_console_webhook_read_failures_total";

/// A command whose output has news, by its name in logs and metrics.
#[derive(Debug)]
pub(super) struct Source {
    name: &'static str,
    is_failing: bool,
}

impl Source {
    pub(super) const STATUS: Self = Self::named("status");
    pub(super) const FAILURES: Self = Self::named("failures");
    pub(super) const DEAD_LETTERS: Self = Self::named("dead_letters");

    const fn named(name: &'static str) -> Self {
        Self { name, is_failing: false }
    }

    /// Returns what was read. Counts each failure, and logs the first one and the recovery.
    pub(super) fn read<T>(&mut self, result: Result<T, InvocationError>) -> Option<T> {
        let source = self.name;
        let had_failed = std::mem::replace(&mut self.is_failing, result.is_err());
        match result {
            Ok(output) => {
                if had_failed {
                    tracing::info!(source, "the webhook's news can be read again");
                }
                Some(output)
            }
            Err(error) => {
                counter!(FAILURES, "source" => source).increment(1);
                if !had_failed {
                    tracing::warn!(
                        source,
                        "the webhook's news can't be read, and is not posted until it can: {error}"
                    );
                }
                None
            }
        }
    }
}

/// Registers the metric.
pub(super) fn describe() {
    describe_counter!(FAILURES, "Reads for the webhook that failed, by what was read");
    for source in [Source::STATUS, Source::FAILURES, Source::DEAD_LETTERS] {
        counter!(FAILURES, "source" => source.name).increment(0);
    }
}
