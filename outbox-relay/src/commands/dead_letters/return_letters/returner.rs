//! Returns dead letters, a window at a time: marks them, publishes them while it has them locked,
//! and notes what the broker says.
//!
//! The mark is committed first. So what is found marked after a crash may have arrived, and is
//! published again: a duplicate at most. The lock keeps other commands from doing that while this
//! one lives, and ends with its connection. A dead letter becomes returned only once the broker has
//! confirmed it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use anyhow::anyhow;
use service_kit::backoff::Backoff;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::queries as letters;
use super::super::tables::Session;
use super::queries::{self, Marked};
use super::rate::Pace;
use super::refused::Refused;
use super::window::{WINDOW, Window, windows};
use crate::commands::outcome::Unavailable;
use crate::commands::progress::Progress;
use crate::commands::queries::Attribution;
use crate::commands::session::RowsRefused;
use crate::dead_letters::Publisher;

/// After how many losses of the broker in a row, without an outcome in between, to give up.
const ATTEMPTS: u32 = 8;

/// How often to try to lock marked dead letters, and the pause in between. `note` holds its locks
/// briefly.
const LOCK_ATTEMPTS: u32 = 6;
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Returns dead letters to their queues.
#[derive(Debug)]
pub(super) struct Returner<'a> {
    pub(super) session: &'a Session,
    /// A session of its own, as it keeps a transaction open while the broker is asked.
    pub(super) locking: Session,
    pub(super) publisher: Publisher,
    /// Whether the broker has let this user publish.
    pub(super) was_allowed: bool,
    pub(super) pace: Pace,
    /// The queue, instead of the one that each has.
    pub(super) to: Option<&'a str>,
    pub(super) attribution: &'a Attribution,
    pub(super) stop: CancellationToken,
    pub(super) progress: Progress,
}

/// The outcomes of a command's dead letters.
#[derive(Debug, Default)]
pub(super) struct Returned {
    /// The broker has confirmed them.
    pub(super) returned: Vec<i64>,
    /// They are open again.
    pub(super) refused: Vec<Refused>,
    /// The database refuses to change their rows, for this reason.
    pub(super) unchanged: Vec<(i64, String)>,
    /// They may have arrived, and are marked as being returned.
    pub(super) unknown: Vec<i64>,
    /// They were not tried.
    pub(super) untried: Vec<i64>,
}

impl Returned {
    /// Returns the number of dead letters with a known outcome.
    const fn count(&self) -> usize {
        self.returned.len() + self.refused.len() + self.unchanged.len()
    }
}

impl Returner<'_> {
    /// Publishes the dead letters `ids`. Returns the outcomes, also if an error ended it early.
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
            let before = done.count();
            match self.return_window(window, done, &mut windows).await {
                Ok(None) => {}
                Ok(Some(_)) if done.count() > before => {
                    (failures, backoff) = (0, Backoff::reconnect());
                }
                Ok(Some(lost)) => {
                    failures += 1;
                    if failures >= ATTEMPTS {
                        let sentence = format!("the broker is lost: {lost}");
                        result = Err(Unavailable(sentence).into());
                    } else {
                        self.progress.set_waiting(&lost);
                        self.stop.run_until_cancelled(sleep(backoff.next_delay())).await;
                    }
                }
                Err(error) => result = Err(error),
            }
            self.progress.set_done(i64::try_from(done.returned.len())?);
        }
        result
    }

    /// Publishes a window. Dead letters without an answer go to the front of `windows`. Returns why
    /// the broker was lost, if it was.
    async fn return_window(
        &mut self,
        window: Window,
        done: &mut Returned,
        windows: &mut VecDeque<Window>,
    ) -> anyhow::Result<Option<String>> {
        let frame_max = match self.publisher.connect().await {
            Ok(frame_max) => frame_max,
            Err(error) => {
                windows.push_front(window);
                return Ok(Some(format!("{error:#}")));
            }
        };
        if self.stop.run_until_cancelled(self.pace.wait()).await.is_none() {
            windows.push_front(window);
            return Ok(None);
        }
        let Some(marked) = self.mark(window, done, windows).await? else { return Ok(None) };
        let mut rest: Vec<i64> = marked.iter().map(|letter| letter.id).collect();
        let in_doubt = marked.into_iter().filter(|letter| letter.may_have_arrived);
        let in_doubt: HashSet<i64> = in_doubt.map(|letter| letter.id).collect();
        for attempt in 1.. {
            // The session that held the lock may have sent it.
            let may_have_arrived = |id: i64| attempt > 1 || in_doubt.contains(&id);
            let published = match self.publish(&rest, may_have_arrived, frame_max).await {
                Ok(published) => published,
                Err(error) => {
                    done.unknown.extend(rest);
                    return Err(error);
                }
            };
            done.returned.extend(published.confirmed);
            done.refused.extend(published.refused);
            done.unchanged.extend(published.unchanged);
            // One at a time: one of them may make the broker close the connection.
            for id in published.unknown.into_iter().rev() {
                windows.push_front(Window { ids: vec![id], is_suspect: true });
            }
            rest = published.locked;
            if published.lost.is_some() || published.denied.is_some() {
                if !rest.is_empty() {
                    windows.push_back(Window { ids: rest, is_suspect: true });
                }
                return match published.denied {
                    Some(reason) => Err(anyhow!(
                        "the broker does not let this user publish ({reason}): grant it to write to amq.default"
                    )),
                    None => Ok(published.lost),
                };
            }
            rest = match still_returning(self.session, &rest).await {
                Ok(rest) => rest,
                Err(error) => {
                    done.unknown.extend(rest);
                    return Err(error);
                }
            };
            if rest.is_empty() {
                break;
            }
            if attempt >= LOCK_ATTEMPTS {
                done.unknown.extend(rest);
                break;
            }
            sleep(LOCK_RETRY_INTERVAL).await;
        }
        Ok(None)
    }

    /// Marks a window. Returns `None` if the database refuses one of its rows: the window is then
    /// halved until that row is alone.
    async fn mark(
        &self,
        Window { mut ids, is_suspect }: Window,
        done: &mut Returned,
        windows: &mut VecDeque<Window>,
    ) -> anyhow::Result<Option<Vec<Marked>>> {
        let marked = queries::mark_returning(self.session, &ids, self.to, self.attribution).await;
        match marked {
            Ok(marked) => return Ok(Some(marked)),
            Err(error) if !error.is::<RowsRefused>() => {
                if is_suspect { &mut done.unknown } else { &mut done.untried }.extend(ids);
                return Err(error);
            }
            Err(error) if ids.len() == 1 => {
                let reason = format!("it was not sent: {error:#}");
                done.unchanged.extend(ids.into_iter().map(|id| (id, reason.clone())));
            }
            Err(_) => {
                let second = ids.split_off(ids.len() / 2);
                windows.push_front(Window { ids: second, is_suspect });
                windows.push_front(Window { ids, is_suspect });
            }
        }
        Ok(None)
    }
}

/// Returns those of `ids` that are marked as being returned.
async fn still_returning(session: &Session, ids: &[i64]) -> anyhow::Result<Vec<i64>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let states = letters::find_states(session, ids).await?;
    let returning = states.into_iter().filter(|letter| letter.state == "returning");
    Ok(returning.map(|letter| letter.id).collect())
}
