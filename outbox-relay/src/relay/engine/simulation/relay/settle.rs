//! The statement that settles, and what comes of it.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use uuid::Uuid;

use super::super::table::Table;
use super::Relay;
use crate::database::DatabaseError;
use crate::database::queries::NotSettled;
use crate::settle::batch::{SettleBatch, SettleItem};
use crate::settle::schedule::SettleJob;
use crate::settle::{SettleResult, classify};

impl Relay {
    /// The statement that settles ends; `works`: on a session that is still there.
    pub(in super::super) fn end_settling(&mut self, table: &mut Table, works: bool, now: Instant) {
        let Some((job, transaction)) = self.settling.take() else {
            return;
        };
        table.end(transaction, works);
        let mut settled = SettleResult {
            event_refs: Vec::new(),
            freed: false,
            unsettled: Vec::new(),
            untried: SettleBatch::default(),
            untried_retries: Vec::new(),
            result: Ok(()),
        };
        match job {
            SettleJob::New(batch) => {
                if works {
                    let SettleBatch { published, failed } = batch;
                    self.note(table, &[published, failed].concat(), false, &mut settled, now);
                } else {
                    settled.untried = batch;
                    settled.result = Err(DatabaseError::Silent);
                }
                self.engine.settled(&mut settled, now);
            }
            SettleJob::Retry(unsettled) => {
                if works {
                    let has_notes = unsettled.iter().any(|one| one.is_noted);
                    let items: Vec<SettleItem> =
                        unsettled.into_iter().map(|one| one.item).collect();
                    self.note(table, &items, has_notes, &mut settled, now);
                } else {
                    settled.untried_retries = unsettled;
                    settled.result = Err(DatabaseError::Silent);
                }
                self.engine.retry_settled(&mut settled, now);
            }
        }
    }

    /// The statement runs on `items`.
    fn note(
        &mut self,
        table: &mut Table,
        items: &[SettleItem],
        has_notes: bool,
        settled: &mut SettleResult,
        now: Instant,
    ) {
        let answer = |item: &SettleItem| Some((item.event_ref.id, table.settle(item, now)?));
        let answers: HashMap<i64, NotSettled> = items.iter().filter_map(answer).collect();
        classify(items.to_vec(), &answers, settled);
        let is_left: HashSet<Uuid> =
            settled.unsettled.iter().map(|one| one.item.event_id).collect();
        for item in items {
            if has_notes && !is_left.contains(&item.event_id) {
                table.forget_note(item.event_id);
            }
            if answers.get(&item.event_ref.id) == Some(&NotSettled::Gone) {
                // Another relay may have charged the event with a failure meanwhile: it sends it
                // again.
                self.known.remove(&item.event_id);
            }
        }
        for one in &mut settled.unsettled {
            if one.item.failure.is_none() {
                table.note(one.item.event_id, one.item.event_ref.id);
                one.is_noted = true;
            }
        }
    }
}
