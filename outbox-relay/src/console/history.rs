//! What the overview shows of the last hour: one sampler, whoever watches.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use service_kit::health::Dependency;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::command_line::CommandLine;
use super::invocation::{Commands, InvocationError};
use super::open_letters::OpenLetters;
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
    /// Grows with each status that differs from the one before, and with each change.
    version: AtomicU64,
    /// How many samples were taken.
    taken: AtomicU64,
    /// Differs from that of an earlier process.
    start: u64,
    /// Wakes the sampler.
    again: Notify,
    /// Whether a change has ended since the latest sample began.
    has_changed: AtomicBool,
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
        let mut letters = None;
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // The lines have a point for each interval.
            let is_point = tokio::select! {
                _ = ticks.tick() => true,
                () = self.again.notified() => false,
                () = shutdown.cancelled() => return,
            };
            if !is_point {
                letters = None;
            }
            let has_changed = self.has_changed.swap(false, Ordering::Relaxed);
            let letters = has_desk.then_some(&mut letters);
            let status = tokio::select! {
                status = read_status(commands, &user, letters) => status,
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
            self.replace_latest(status, has_changed);
            self.sampled.notify_waiters();
        }
    }

    /// Takes a sample soon, after which all pages are old: a change has ended.
    pub(super) fn change_has_ended(&self) {
        self.has_changed.store(true, Ordering::Relaxed);
        self.again.notify_one();
    }

    /// Takes a sample now, and waits for it.
    pub(super) async fn sample_now(&self) {
        let sampled = self.sampled.notified();
        self.again.notify_one();
        sampled.await;
    }

    /// Waits until the outbox was looked at once more.
    pub(super) async fn next_sample(&self) {
        self.sampled.notified().await;
    }

    /// `has_changed`: a change has ended, of which the status may tell nothing, as of a note.
    fn replace_latest(&self, status: Result<Value, InvocationError>, has_changed: bool) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let before = latest.as_ref().and_then(|status| status.as_ref().ok()).map(essence);
        if has_changed || before != status.as_ref().ok().map(essence) {
            self.version.fetch_add(1, Ordering::Relaxed);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        *latest = Some(status);
    }

    /// The number of the latest sample. What is read beside it is read once.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
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

    /// The latest status; the first one is waited for.
    pub(super) async fn status(&self) -> Result<Value, InvocationError> {
        loop {
            // Before the look, so that a sample that ends between the two is noticed.
            let sampled = self.sampled.notified();
            if let Some(status) = self.latest() {
                return status;
            }
            sampled.await;
        }
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

/// Reads what `status --json` prints, and adds the open dead letters if there is a desk, those of an
/// earlier status until they are counted again.
async fn read_status(
    commands: &Commands,
    user: &User,
    letters: Option<&mut Option<OpenLetters>>,
) -> Result<Value, InvocationError> {
    let line = CommandLine::new("status");
    let mut status = commands.read(&line.arguments(), user).await?.value()?;
    if let Some((status, letters)) = status.as_object_mut().zip(letters) {
        let counted = match letters.take().filter(OpenLetters::are_recent) {
            Some(counted) => counted,
            None => OpenLetters::count(commands, user).await,
        };
        status.insert("dead_letters".to_owned(), letters.insert(counted).shown.clone());
    }
    Ok(status)
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
    fn a_page_is_old_after_a_change_and_when_the_status_differs() {
        let history = History::new();
        let status = |pending: u64| Ok(json!({ "backlog": { "pending": pending } }));
        history.replace_latest(status(1), false);
        let first = history.version();
        history.replace_latest(status(1), false);
        assert_eq!(history.version(), first);
        history.replace_latest(status(1), true);
        let second = history.version();
        assert_ne!(second, first, "a note, say, which no status shows");
        history.replace_latest(status(2), false);
        assert_ne!(history.version(), second);
        assert_eq!(history.taken(), 4);
    }

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
