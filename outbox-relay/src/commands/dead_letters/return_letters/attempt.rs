//! One attempt at a window: locks its rows, publishes them, and notes what the broker says.

use std::collections::HashSet;

use anyhow::anyhow;

use super::super::tables::Session;
use super::queries;
use super::refused::Refused;
use super::returner::Returner;
use crate::commands::queries::Attribution;
use crate::commands::session::RowsRefused;
use crate::dead_letters::{Broken, Verdict};

/// What became of a window.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) confirmed: Vec<i64>,
    pub(super) refused: Vec<Refused>,
    /// Dead letters whose outcome the database refuses to store, with its reason.
    pub(super) unchanged: Vec<(i64, String)>,
    pub(super) unknown: Vec<i64>,
    /// Another session has locked or settled them: they were not sent.
    pub(super) locked: Vec<i64>,
    /// Why the connection to the broker was lost.
    pub(super) lost: Option<String>,
    /// Why the broker lets this user publish nothing.
    pub(super) denied: Option<String>,
}

impl Returner<'_> {
    /// Locks those of the `marked` dead letters that no other command has locked, publishes them,
    /// and stores the outcomes.
    pub(super) async fn publish(
        &mut self,
        marked: &[i64],
        may_have_arrived: impl Fn(i64) -> bool,
        frame_max: usize,
    ) -> anyhow::Result<Published> {
        let rows = queries::lock_returning(&mut self.locking, marked, self.to).await?;
        let is_locked_here: HashSet<i64> = rows.iter().map(|row| row.id).collect();
        let mut published = Published {
            locked: marked.iter().copied().filter(|id| !is_locked_here.contains(id)).collect(),
            ..Published::default()
        };
        let refused = |id: i64, reason: String, is_in_doubt: bool| Refused {
            id,
            reason,
            may_have_arrived: is_in_doubt || may_have_arrived(id),
        };
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        for row in rows {
            let id = row.id;
            match row.into_message(frame_max) {
                Ok(message) => {
                    sent.push(id);
                    messages.push(message);
                }
                Err(reason) => published.refused.push(refused(id, reason, false)),
            }
        }
        self.pace.count(messages.len());
        let (verdicts, broken) = self.publisher.publish(&messages).await;
        self.was_allowed |= verdicts.iter().any(|verdict| *verdict != Verdict::Unknown);
        for (id, verdict) in sent.iter().zip(verdicts) {
            match (verdict, &broken) {
                (Verdict::Confirmed, _) => published.confirmed.push(*id),
                (Verdict::Refused(reason), _) => {
                    published.refused.push(refused(*id, reason, false));
                }
                (Verdict::Unknown, Some(Broken::OverMessage(reason))) if sent.len() == 1 => {
                    let reason = format!("the broker refuses the message: {reason}");
                    published.refused.push(refused(*id, reason, false));
                }
                // The permission may have been revoked in the middle of the window.
                (Verdict::Unknown, Some(Broken::Denied(reason))) => {
                    published.refused.push(refused(*id, reason.clone(), self.was_allowed));
                }
                (Verdict::Unknown, _) => published.unknown.push(*id),
            }
        }
        match broken {
            Some(Broken::Lost(reason)) => published.lost = Some(reason),
            Some(Broken::Denied(reason)) => published.denied = Some(reason),
            Some(Broken::OverMessage(_)) | None => (),
        }
        self.note(&mut published).await.map_err(|error| match published.confirmed.len() {
            0 => error,
            arrived => anyhow!(
                "{error:#}; {arrived} have arrived, but that could not be noted: they stay marked as being returned, \
                 and the next return would send them again"
            ),
        })?;
        Ok(published)
    }

    /// Stores the outcomes of a window. Dead letters whose row the database refuses to change are
    /// moved to `unchanged`.
    async fn note(&mut self, published: &mut Published) -> anyhow::Result<()> {
        let (locking, attribution) = (&mut self.locking, self.attribution);
        let mut unchanged = settle_returned(locking, &published.confirmed, attribution).await?;
        unchanged.extend(reopen(locking, &published.refused, attribution).await?);
        locking.commit().await?;
        let is_unchanged: HashSet<i64> = unchanged.iter().map(|(id, _)| *id).collect();
        published.confirmed.retain(|id| !is_unchanged.contains(id));
        published.refused.retain(|letter| !is_unchanged.contains(&letter.id));
        published.unchanged = unchanged;
        Ok(())
    }
}

/// Marks dead letters as returned in the open transaction. Halves the set to find those that the
/// database refuses. Returns these, with its reason.
async fn settle_returned(
    locking: &mut Session,
    confirmed: &[i64],
    attribution: &Attribution,
) -> anyhow::Result<Vec<(i64, String)>> {
    let mut unchanged = Vec::new();
    let mut parts = vec![confirmed];
    while let Some(part) = parts.pop() {
        match (queries::settle_returned(locking, part, attribution).await, part) {
            (Ok(()), _) => (),
            (Err(error), [id]) if error.is::<RowsRefused>() => {
                let why = format!(
                    "it has arrived, but stays marked as being returned, and the next return would send it again: {error:#}"
                );
                unchanged.push((*id, why));
            }
            (Err(error), _) if error.is::<RowsRefused>() => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(unchanged)
}

/// Marks dead letters as open again in the open transaction. Returns those that the database
/// refuses, with its reason.
async fn reopen(
    locking: &mut Session,
    refused: &[Refused],
    attribution: &Attribution,
) -> anyhow::Result<Vec<(i64, String)>> {
    let mut unchanged = Vec::new();
    let mut parts = vec![refused];
    while let Some(part) = parts.pop() {
        match (queries::reopen(locking, part, attribution).await, part) {
            (Ok(()), _) => (),
            (Err(error), [Refused { id, reason, .. }]) if error.is::<RowsRefused>() => {
                let why = format!("{reason}; it stays marked as being returned: {error:#}");
                unchanged.push((*id, why));
            }
            (Err(error), _) if error.is::<RowsRefused>() => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(unchanged)
}
