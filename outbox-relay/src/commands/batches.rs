//! A change of many rows, batch by batch: rows that the database refuses are found and named, and
//! the others are changed. A signal ends it after the batch at hand.

use anyhow::anyhow;

use super::outcome::{Outcome, Unavailable};
use super::output;
use super::progress::Progress;
use super::session::RowsRefused;
use super::stop::stop_on_signals;

/// How many rows a statement changes. Few enough not to delay relays and consumers.
const BATCH: usize = 1000;

/// How many rows may be refused by the database before a command gives up: each costs some
/// statements, and its reason is held in memory.
const REFUSED_LIMIT: usize = 10_000;

/// What became of a change of the rows `K`, each of which leaves a `C` when it is changed.
#[derive(Debug)]
pub(super) struct ChangeResult<K, C> {
    /// What one of the rows is: `event`, say.
    noun: &'static str,
    pub(super) changed: Vec<C>,
    /// Rows that the database refuses to change, with its reasons.
    pub(super) refused: Vec<(K, String)>,
    /// Why the rest was not tried.
    error: Option<anyhow::Error>,
}

/// Changes `rows` with `change`, which adds what it changed to its second argument. Over rows that
/// the database refuses a batch is halved, until each of these is found. `json` says how progress is
/// shown.
pub(super) async fn change<K: Copy, C>(
    rows: &[K],
    noun: &'static str,
    json: bool,
    mut change: impl AsyncFnMut(&[K], &mut Vec<C>) -> anyhow::Result<()>,
) -> anyhow::Result<ChangeResult<K, C>> {
    let stop = stop_on_signals()?;
    let progress = Progress::new(i64::try_from(rows.len())?, noun, json);
    let mut result = ChangeResult::new(noun);
    let mut batches: Vec<&[K]> = rows.chunks(BATCH).rev().collect();
    while let Some(batch) = batches.pop() {
        if stop.is_cancelled() {
            result.stop(anyhow!("stopped"));
            break;
        }
        match (change(batch, &mut result.changed).await, batch) {
            (Ok(()), _) => (),
            (Err(error), [row]) if result.may_go_on_after(&error) => {
                result.refused.push((*row, format!("{error:#}")));
            }
            (Err(error), _) if result.may_go_on_after(&error) => {
                let (first, second) = batch.split_at(batch.len() / 2);
                batches.extend([second, first]);
            }
            (Err(error), _) => {
                result.stop(error);
                break;
            }
        }
        progress.set_done(i64::try_from(result.changed.len())?);
    }
    progress.clear();
    Ok(result)
}

impl<K, C> ChangeResult<K, C> {
    const fn new(noun: &'static str) -> Self {
        Self { noun, changed: Vec::new(), refused: Vec::new(), error: None }
    }

    /// Whether the change was ended before all rows were tried.
    pub(super) const fn is_ended(&self) -> bool {
        self.error.is_some()
    }

    /// Whether `error` is about single rows, of which there may be some more.
    fn may_go_on_after(&self, error: &anyhow::Error) -> bool {
        error.is::<RowsRefused>() && self.refused.len() < REFUSED_LIMIT
    }

    /// Ends the change. The rest is not tried.
    fn stop(&mut self, error: anyhow::Error) {
        self.error = Some(if error.is::<RowsRefused>() {
            let noun = self.noun;
            error.context(format!("gave up after {REFUSED_LIMIT} {noun}s that were refused"))
        } else {
            error
        });
    }

    /// Returns `outcome`, or the error that ended the change: to be called once all is reported.
    pub(super) fn finish(mut self, outcome: Outcome, changed: &str) -> anyhow::Result<Outcome> {
        match self.error.take() {
            None => Ok(outcome),
            Some(error) => Err(self.into_error(error, changed)),
        }
    }

    /// Returns the error that ended the change, or else `error`, with the number of rows that were,
    /// say, `discarded` before.
    pub(super) fn into_error(self, error: anyhow::Error, changed: &str) -> anyhow::Error {
        let error = self.error.unwrap_or(error);
        match self.changed.len() {
            0 => error,
            count => {
                let were = if count == 1 { "was" } else { "were" };
                let counted = output::counted(count, self.noun);
                let sentence = format!("{error:#}; {counted} {were} {changed} before");
                Unavailable::keep(&error, sentence)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_up_when_the_database_refuses_too_many_rows() {
        let error = || anyhow::Error::from(RowsRefused("under seal".to_owned()));
        let mut result = ChangeResult::<u32, u32>::new("event");
        assert!(!result.may_go_on_after(&anyhow!("no space left")));
        for _ in 0..REFUSED_LIMIT {
            assert!(result.may_go_on_after(&error()));
            result.refused.push((0, String::new()));
        }
        assert!(!result.may_go_on_after(&error()));
        result.changed.push(1);
        result.stop(error());
        let ended = result.finish(Outcome::Problems, "discarded").expect_err("it gave up");
        assert_eq!(
            ended.to_string(),
            "gave up after 10000 events that were refused: under seal; 1 event was discarded before"
        );
    }
}
