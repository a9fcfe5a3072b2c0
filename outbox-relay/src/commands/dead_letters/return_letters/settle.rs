//! Notes what became of a window, in the transaction that has its rows locked.

use super::super::tables::Session;
use super::queries;
use crate::commands::queries::Attribution;
use crate::commands::session::RowsRefused;

/// What became of a window.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The broker has them.
    pub(super) confirmed: Vec<i64>,
    /// The broker does not have them, for this reason.
    pub(super) refused: Vec<(i64, String)>,
    /// The broker may have them.
    pub(super) unknown: Vec<i64>,
    /// Why the connection to the broker was lost.
    pub(super) lost: Option<String>,
    /// The database refuses to note what became of them, for this reason.
    pub(super) unnoted: Vec<(i64, String)>,
}

impl Published {
    /// Notes what became of the messages, and commits. Rows that the database refuses to change are
    /// taken out, and stay marked as being returned.
    pub(super) async fn note(
        &mut self,
        locking: &mut Session,
        attribution: &Attribution,
    ) -> anyhow::Result<()> {
        locking.savepoint().await?;
        match note(locking, &self.confirmed, &self.refused, attribution).await {
            Err(error) if error.is::<RowsRefused>() => self.note_each(locking, attribution).await?,
            other => other?,
        }
        locking.commit().await
    }

    /// Notes each by itself, as the database refuses one of them.
    async fn note_each(
        &mut self,
        locking: &mut Session,
        attribution: &Attribution,
    ) -> anyhow::Result<()> {
        locking.rollback_to_savepoint().await?;
        for id in std::mem::take(&mut self.confirmed) {
            match note(locking, &[id], &[], attribution).await {
                Ok(()) => {
                    locking.savepoint().await?;
                    self.confirmed.push(id);
                }
                Err(error) if error.is::<RowsRefused>() => {
                    locking.rollback_to_savepoint().await?;
                    let reason = format!("it has arrived, but that could not be noted: {error:#}");
                    self.unnoted.push((id, reason));
                }
                Err(error) => return Err(error),
            }
        }
        for (id, reason) in std::mem::take(&mut self.refused) {
            let refused = [(id, reason)];
            let noted = note(locking, &[], &refused, attribution).await;
            let [(id, reason)] = refused;
            match noted {
                Ok(()) => {
                    locking.savepoint().await?;
                    self.refused.push((id, reason));
                }
                Err(error) if error.is::<RowsRefused>() => {
                    locking.rollback_to_savepoint().await?;
                    self.unnoted
                        .push((id, format!("{reason}; that could not be noted: {error:#}")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn note(
    locking: &mut Session,
    confirmed: &[i64],
    refused: &[(i64, String)],
    attribution: &Attribution,
) -> anyhow::Result<()> {
    queries::settle_returned(locking, confirmed, attribution).await?;
    queries::reopen(locking, refused, attribution).await
}
