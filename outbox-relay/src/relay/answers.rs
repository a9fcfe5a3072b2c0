//! Tells commands that ask how far this relay has sent an event.
//!
//! A command can't ask the relay itself, so that both use advisory locks, as for
//! [changes](super::seen_changes): it holds lock 70 with the table's oid and lock 71 with the
//! event's id, and the relay answers by a lock whose [number](Stage::lock_number) is the answer,
//! for as long as the command asks. Nothing is written, and a role that may only read can ask.

use std::collections::BTreeMap;

use service_kit::postgres::reason;

use crate::database::queries::{self, Question};
use crate::database::{Database, DatabaseError};
use crate::publish::sent::Sent;
use crate::publish::stage::Stage;

/// How many questions are answered at the same time. Further ones wait, or are given up.
const MAX_ANSWERED: i64 = 64;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What this session holds locks of, by asker.
    given: BTreeMap<i32, Stage>,
    /// Whether the database refused the latest ones.
    are_refused: bool,
}

impl Answers {
    /// The session is gone, and its locks with it.
    pub(super) fn lose_session(&mut self) {
        self.given.clear();
    }

    /// Answers what is asked, if anything is, and gives up the answers to questions that are no
    /// longer asked. If the database refuses that, commands do without.
    pub(super) async fn update(
        &mut self,
        database: &Database,
        sent: &Sent,
        is_asked: bool,
    ) -> Result<(), DatabaseError> {
        if !is_asked && self.given.is_empty() {
            return Ok(());
        }
        match self.exchange(database, sent, is_asked).await {
            Ok(()) => self.are_refused = false,
            Err(error) if error.is_refusal() => {
                if let (DatabaseError::Refused(error), false) = (&error, self.are_refused) {
                    let error = reason(error);
                    tracing::warn!(error, "a command that asks about an event gets no answer");
                }
                self.are_refused = true;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn exchange(
        &mut self,
        database: &Database,
        sent: &Sent,
        is_asked: bool,
    ) -> Result<(), DatabaseError> {
        let asked = if is_asked {
            queries::find_questions(database, MAX_ANSWERED).await?
        } else {
            Vec::new()
        };
        let events: Vec<i64> = asked.iter().map(|Question { event, .. }| *event).collect();
        let stages = sent.stages(&events);
        let current: BTreeMap<i32, Stage> =
            asked.iter().map(|Question { asker, .. }| *asker).zip(stages).collect();
        let outdated = difference(&self.given, &current);
        if !outdated.is_empty() {
            queries::take_back_answers(database, &outdated).await?;
            self.given.retain(|asker, stage| current.get(asker) == Some(stage));
        }
        let new = difference(&current, &self.given);
        if !new.is_empty() {
            if let Err(error) = queries::give_answers(database, &new).await {
                // Those locks that it took before it failed stay with the session.
                queries::take_back_answers(database, &new).await?;
                return Err(error);
            }
            self.given.extend(new);
        }
        Ok(())
    }
}

/// Returns the answers that are in `some` and not, or otherwise, in `others`.
fn difference(some: &BTreeMap<i32, Stage>, others: &BTreeMap<i32, Stage>) -> Vec<(i32, Stage)> {
    some.iter()
        .filter(|(asker, stage)| others.get(asker) != Some(stage))
        .map(|(asker, stage)| (*asker, *stage))
        .collect()
}
