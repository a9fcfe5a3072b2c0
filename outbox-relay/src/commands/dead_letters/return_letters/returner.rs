//! Returns dead letters, a window at a time: marks them, publishes them while it has them locked,
//! and notes what the broker says.
//!
//! The mark is committed first. So what is found marked after a crash may have arrived, and is
//! published again: a duplicate at most. The lock keeps other commands from doing that while this one
//! lives, and ends with its connection. Nothing is marked as returned that the broker has not
//! confirmed.

use std::collections::VecDeque;

use anyhow::anyhow;
use service_kit::backoff::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::tables::Session;
use super::queries;
use super::rate::Pace;
use super::settle::Published;
use crate::commands::progress::Progress;
use crate::commands::queries::Attribution;
use crate::commands::session::RowsRefused;
use crate::dead_letters::{Broken, Publisher, Verdict};

/// How many messages are in flight at most.
const WINDOW: usize = 1000;

/// How many bytes they have at most, unless it is one message.
const WINDOW_BYTES: i64 = 16 << 20;

/// How often to go on after the broker was lost, without a confirm in between.
const ATTEMPTS: u32 = 8;

/// What returns dead letters.
#[derive(Debug)]
pub(super) struct Returner<'a> {
    pub(super) session: &'a Session,
    /// A session of its own, as it keeps a transaction open while the broker is asked.
    pub(super) locking: Session,
    pub(super) publisher: Publisher,
    pub(super) pace: Pace,
    /// The queue, instead of the one that each has.
    pub(super) to: Option<&'a str>,
    pub(super) attribution: &'a Attribution,
    pub(super) stop: CancellationToken,
    pub(super) progress: Progress,
}

/// What has become of dead letters.
#[derive(Debug, Default)]
pub(super) struct Returned {
    /// The broker has confirmed them.
    pub(super) returned: Vec<i64>,
    /// They are open again, or still, for this reason.
    pub(super) refused: Vec<(i64, String)>,
    /// They may have arrived, and are marked as being returned.
    pub(super) unknown: Vec<i64>,
    /// The database refuses to note what became of them, for this reason: they are marked as being
    /// returned.
    pub(super) unnoted: Vec<(i64, String)>,
    /// They were not tried.
    pub(super) untried: Vec<i64>,
}

/// A window that is to be returned.
#[derive(Debug)]
struct Window {
    ids: Vec<i64>,
    /// Whether the broker was lost over it before, so that each is sent alone.
    is_suspect: bool,
}

impl Returner<'_> {
    /// Returns the dead letters `ids`, and what has become of them: also when an error ended it.
    pub(super) async fn run(mut self, ids: &[i64]) -> (Returned, anyhow::Result<()>) {
        let mut done = Returned::default();
        let mut rest = ids;
        let mut result = Ok(());
        while !rest.is_empty() && result.is_ok() && !self.stop.is_cancelled() {
            let (batch, behind) = rest.split_at(rest.len().min(WINDOW));
            rest = behind;
            result = self.return_batch(batch, &mut done).await;
        }
        done.untried.extend_from_slice(rest);
        self.publisher.close().await;
        self.progress.clear();
        (done, result)
    }

    async fn return_batch(&mut self, batch: &[i64], done: &mut Returned) -> anyhow::Result<()> {
        let sizes = match queries::measure(self.session, batch).await {
            Ok(sizes) => sizes,
            Err(error) => {
                done.untried.extend_from_slice(batch);
                return Err(error);
            }
        };
        let mut windows = windows(&sizes, self.pace.window(WINDOW));
        let mut result = Ok(());
        let (mut failures, mut backoff) = (0, Backoff::reconnect());
        while let Some(window) = windows.pop_front() {
            if result.is_err() || self.stop.is_cancelled() {
                let rest = if window.is_suspect { &mut done.unknown } else { &mut done.untried };
                rest.extend(window.ids);
                continue;
            }
            let before = done.returned.len() + done.refused.len();
            match self.return_window(window, done, &mut windows).await {
                Ok(None) => failures = 0,
                Ok(Some(_)) if done.returned.len() + done.refused.len() > before => failures = 0,
                Ok(Some(lost)) => {
                    failures += 1;
                    if failures >= ATTEMPTS {
                        result = Err(anyhow!("the broker is lost: {lost}"));
                    } else {
                        self.progress.set_waiting(&lost);
                        sleep(backoff.next_delay()).await;
                    }
                }
                Err(error) => result = Err(error),
            }
            self.progress.set_done(i64::try_from(done.returned.len())?);
        }
        result
    }

    /// Returns a window. What is unknown of it goes to the front of `windows`. Returns why the broker
    /// was lost, if it was.
    async fn return_window(
        &mut self,
        Window { ids, is_suspect }: Window,
        done: &mut Returned,
        windows: &mut VecDeque<Window>,
    ) -> anyhow::Result<Option<String>> {
        let frame_max = match self.publisher.connect().await {
            Ok(frame_max) => frame_max,
            Err(error) => {
                windows.push_front(Window { ids, is_suspect });
                return Ok(Some(format!("{error:#}")));
            }
        };
        self.pace.wait(ids.len()).await;
        let marked = match self.mark(&ids).await {
            Ok(marked) => marked,
            Err(error) if error.is::<RowsRefused>() && ids.len() > 1 => {
                let mut first = ids;
                let second = first.split_off(first.len() / 2);
                windows.push_front(Window { ids: second, is_suspect });
                windows.push_front(Window { ids: first, is_suspect });
                return Ok(None);
            }
            Err(error) if error.is::<RowsRefused>() => {
                done.refused.extend(ids.into_iter().map(|id| (id, format!("{error:#}"))));
                return Ok(None);
            }
            Err(error) => {
                done.untried.extend(ids);
                return Err(error);
            }
        };
        let Published { confirmed, refused, unknown, lost, unnoted } =
            match self.publish(&marked, frame_max).await {
                Ok(published) => published,
                Err(error) => {
                    done.unknown.extend(marked);
                    return Err(error);
                }
            };
        done.returned.extend(confirmed);
        done.refused.extend(refused);
        done.unnoted.extend(unnoted);
        // Each alone, as one of them may be what the broker closes the connection over.
        for id in unknown.into_iter().rev() {
            windows.push_front(Window { ids: vec![id], is_suspect: true });
        }
        Ok(lost)
    }

    async fn mark(&self, ids: &[i64]) -> anyhow::Result<Vec<i64>> {
        queries::mark_returning(self.session, ids, self.to, self.attribution).await
    }

    /// Publishes those of the `marked` ones that nobody else publishes, and notes what became of
    /// them.
    async fn publish(&mut self, marked: &[i64], frame_max: usize) -> anyhow::Result<Published> {
        let rows = queries::lock_returning(&mut self.locking, marked).await?;
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        let mut published = Published::default();
        for row in rows {
            let id = row.id;
            match row.into_message(frame_max) {
                Ok(message) => {
                    sent.push(id);
                    messages.push(message);
                }
                Err(reason) => published.refused.push((id, reason)),
            }
        }
        let (verdicts, broken) = self.publisher.publish(&messages).await;
        for (id, verdict) in sent.iter().zip(verdicts) {
            match (verdict, &broken) {
                (Verdict::Confirmed, _) => published.confirmed.push(*id),
                (Verdict::Refused(reason), _) => published.refused.push((*id, reason)),
                (Verdict::Unknown, Some(Broken::OverMessage(reason))) if sent.len() == 1 => {
                    let reason = format!("the broker refuses the message: {reason}");
                    published.refused.push((*id, reason));
                }
                (Verdict::Unknown, _) => published.unknown.push(*id),
            }
        }
        published.lost = broken.and_then(|broken| match broken {
            Broken::OverMessage(_) => None,
            Broken::Lost(reason) => Some(reason),
        });
        let arrived = published.confirmed.len();
        published.note(&mut self.locking, self.attribution).await.map_err(|error| match arrived {
            0 => error,
            _ => anyhow!(
                "{error:#}; {arrived} have arrived, but that could not be noted: they stay marked as being returned, and \
                 the next return would send them again"
            ),
        })?;
        Ok(published)
    }
}

/// Divides dead letters of these sizes into windows of at most `most`.
fn windows(sizes: &[(i64, i32)], most: usize) -> VecDeque<Window> {
    let mut windows: VecDeque<Window> = VecDeque::new();
    let mut bytes = 0;
    for (id, size) in sizes {
        let size = i64::from(*size);
        match windows.back_mut() {
            Some(window) if window.ids.len() < most && bytes + size <= WINDOW_BYTES => {
                window.ids.push(*id);
                bytes += size;
            }
            _ => {
                windows.push_back(Window { ids: vec![*id], is_suspect: false });
                bytes = size;
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_limited_by_messages_and_by_bytes() {
        let divided = |sizes: &[i32], most: usize| {
            let sizes: Vec<(i64, i32)> = (1..).zip(sizes.iter().copied()).collect();
            windows(&sizes, most).into_iter().map(|window| window.ids).collect::<Vec<_>>()
        };
        assert_eq!(divided(&[], 3), Vec::<Vec<i64>>::new());
        assert_eq!(divided(&[1, 1, 1, 1], 3), [vec![1, 2, 3], vec![4]]);
        let (half, whole) = (8 << 20, 64 << 20);
        assert_eq!(divided(&[half, half, half], 9), [vec![1, 2], vec![3]]);
        assert_eq!(divided(&[whole, 1, whole], 9), [vec![1], vec![2], vec![3]]);
    }
}
