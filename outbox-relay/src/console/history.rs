//! What the overview shows of the last hour: one sampler, whoever watches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use service_kit::health::Dependency;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::command_line::CommandLine;
use super::invocation::{Commands, InvocationError};
use super::rights::Rights;
use super::users::User;
use super::verdict::verdict;

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(10);

/// How many samples are an hour.
const SAMPLES: usize = 360;

/// The size of a sparkline.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;

/// The samples of the last hour, and the latest status.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: Mutex<VecDeque<Sample>>,
    latest: Mutex<Option<Result<Value, InvocationError>>>,
    /// Grows with each status that differs from the one before.
    version: AtomicU64,
    /// Differs from that of an earlier process.
    start: u64,
    /// Wakes the sampler.
    again: Notify,
    /// Notified after each look, also one that failed.
    sampled: Notify,
}

/// One look at the outbox.
#[derive(Debug, Clone, Copy)]
struct Sample {
    backlog: f64,
    rate: f64,
    oldest: f64,
}

impl History {
    pub(super) fn new() -> Self {
        Self { start: rand::random(), ..Self::default() }
    }

    /// Takes samples until `shutdown`.
    pub(super) async fn sample(
        &self,
        commands: &Commands,
        has_desk: bool,
        database: &Dependency,
        shutdown: &CancellationToken,
    ) {
        let user = User { name: "console".to_owned(), rights: Rights::Viewer };
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // The lines have a point for each interval.
            let is_point = tokio::select! {
                _ = ticks.tick() => true,
                () = self.again.notified() => false,
                () = shutdown.cancelled() => return,
            };
            let status = tokio::select! {
                status = read_status(commands, &user, has_desk) => status,
                () = shutdown.cancelled() => return,
            };
            match &status {
                Ok(status) => {
                    if is_point {
                        self.add(Sample::of(status));
                    }
                    database.up();
                }
                Err(error) => database.down(error.to_string()),
            }
            self.replace_latest(status);
            self.sampled.notify_waiters();
        }
    }

    /// Takes a sample now: somebody has changed something, and looks whether it helped.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Waits until the outbox was looked at once more.
    pub(super) async fn next_sample(&self) {
        self.sampled.notified().await;
    }

    fn replace_latest(&self, status: Result<Value, InvocationError>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let before = latest.as_ref().and_then(|status| status.as_ref().ok()).map(essence);
        if before != status.as_ref().ok().map(essence) {
            self.version.fetch_add(1, Ordering::Relaxed);
        }
        *latest = Some(status);
    }

    /// Tells whether something has changed since a page was made: by a number of this process, so
    /// that a page that was left open over a restart is made anew, and by the statuses since.
    pub(super) fn version(&self) -> String {
        format!("{}-{}", self.start, self.version.load(Ordering::Relaxed))
    }

    /// The latest status, or why there is none.
    pub(super) fn latest(&self) -> Option<Result<Value, InvocationError>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The points of the lines for `<polyline>`; nothing before there are two samples.
    pub(super) fn sparklines(&self) -> Value {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let line =
            |value: fn(&Sample) -> f64| points(&samples.iter().map(value).collect::<Vec<_>>());
        json!({
            "backlog": line(|sample| sample.backlog),
            "rate": line(|sample| sample.rate),
            "oldest": line(|sample| sample.oldest),
        })
    }
}

impl Sample {
    /// Reads what `status --json` printed.
    fn of(status: &Value) -> Self {
        let number = |path: &str| status.pointer(path).and_then(Value::as_f64).unwrap_or_default();
        Self {
            backlog: number("/backlog/pending"),
            rate: number("/published_last_minute/events") / 60.0,
            oldest: number("/backlog/oldest/age_seconds"),
        }
    }
}

/// Reads what `status --json` prints, and adds the open dead letters if there is a desk.
pub(super) async fn read_status(
    commands: &Commands,
    user: &User,
    has_desk: bool,
) -> Result<Value, InvocationError> {
    let line = CommandLine::new("status");
    let mut status = commands.read(&line.arguments(), user).await?.value()?;
    if let Some(status) = status.as_object_mut().filter(|_| has_desk) {
        let line = CommandLine::new("dead-letters groups").option("limit", Some("500"));
        let groups = commands.read(&line.arguments(), user).await;
        let letters = open_letters(groups.and_then(|output| output.value()));
        status.insert("dead_letters".to_owned(), letters);
    }
    Ok(status)
}

/// How many dead letters are open, of what `dead-letters groups --json` prints. A desk that can't be
/// read leaves the outbox to be shown.
fn open_letters(groups: Result<Value, InvocationError>) -> Value {
    let groups = match groups {
        Ok(groups) => groups,
        Err(error) => {
            return json!({ "open": null, "at_least": false, "problem": error.to_string() });
        }
    };
    let is_set = |value: &Value, name: &str| value.get(name).and_then(Value::as_bool) == Some(true);
    let rows = groups.get("groups").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let messages = rows.iter().filter_map(|row| row.get("messages").and_then(Value::as_u64));
    let at_least = is_set(&groups, "has_more")
        || is_set(&groups, "is_cut")
        || rows.iter().any(|row| is_set(row, "is_capped"));
    json!({ "open": messages.sum::<u64>(), "at_least": at_least, "problem": null })
}

/// What of a status is worth a new page: ages grow whatever happens.
fn essence(status: &Value) -> String {
    let verdict = verdict("", status);
    let parts = ["/backlog/pending", "/backlog/waiting", "/backlog/scheduled", "/backlog/stuck"];
    let more = [
        "/published_last_minute/events",
        "/lanes/owned",
        "/relays",
        "/pauses",
        "/unsettled",
        "/dead_letters/open",
    ];
    let parts = parts.iter().chain(&more).map(|path| match status.pointer(path) {
        Some(Value::Array(items)) => items.len().to_string(),
        other => other.map(ToString::to_string).unwrap_or_default(),
    });
    format!("{} {}", verdict["sentence"], parts.collect::<Vec<_>>().join(" "))
}

/// The values from left to right, the largest at the top and zero at the bottom.
fn points(values: &[f64]) -> Option<String> {
    if values.len() < 2 {
        return None;
    }
    let top = values.iter().copied().fold(1.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "360 samples at the most")]
    let step = WIDTH / (SAMPLES - 1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "360 samples at the most")]
    let first = WIDTH - step * (values.len() - 1) as f64;
    let mut x = first;
    let points = values.iter().map(|value| {
        // One unit from the edges, where half of the line would be cut off.
        let point = format!("{x:.1},{:.1}", HEIGHT - 1.0 - value / top * (HEIGHT - 2.0));
        x += step;
        point
    });
    Some(points.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_and_begins_where_its_samples_do() {
        assert_eq!(points(&[]), None);
        assert_eq!(points(&[1.0]), None);
        let two = points(&[0.0, 5.0]).expect("two samples");
        assert_eq!(two, "119.7,23.0 120.0,1.0");
        let full = points(&[0.0; SAMPLES]).expect("an hour");
        assert!(full.starts_with("0.0,23.0 0.3,23.0 ") && full.ends_with(" 120.0,23.0"), "{full}");
    }
}
