//! The transactions that may still add events below the highest id.

use crate::database::{Database, DatabaseError};

/// The highest id, and then the transactions that may still add rows.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(crate) highest: i64,
    pub(crate) open: Vec<Writer>,
}

/// A transaction that may still add rows, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Its virtual transaction id, which it has from its beginning; only `PREPARE TRANSACTION`
    /// changes it.
    pub(crate) virtual_id: String,
    /// `None` for one that has written nothing yet.
    pub(crate) xid: Option<i64>,
}

/// A transaction that may still add rows, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) writer: Writer,
    /// All its rows are above this id.
    pub(crate) above: i64,
}

impl OpenTransaction {
    pub(crate) fn is(&self, writer: &Writer) -> bool {
        self.writer.virtual_id == writer.virtual_id
            || (writer.xid.is_some() && self.writer.xid == writer.xid)
    }
}

pub(crate) async fn list_writers(database: &Database) -> Result<Writers, DatabaseError> {
    let row = database.session.query_one(&database.statements.list_writers, &[]).await?;
    let next: i64 = row.try_get("next_xid")?;
    let (virtual_ids, xids): (Vec<String>, Vec<Option<i64>>) =
        (row.try_get("virtual_ids")?, row.try_get("xids")?);
    let open = virtual_ids
        .into_iter()
        .zip(xids)
        .map(|(virtual_id, xid)| Writer { virtual_id, xid: xid.map(|xid| wide(xid, next)) });
    Ok(Writers {
        highest: row.try_get::<_, Option<i64>>("highest")?.unwrap_or(i64::MIN),
        open: open.collect(),
    })
}

/// The 64-bit id of a transaction of which the lower 32 bits are known: the one nearest to `next`.
fn wide(xid: i64, next: i64) -> i64 {
    let ahead = xid.wrapping_sub(next) & 0xFFFF_FFFF;
    next + if ahead < 1 << 31 { ahead } else { ahead - (1 << 32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transactions_id_is_the_nearest_to_the_next_one() {
        let epoch = 1_i64 << 32;
        assert_eq!(wide(90, 100), 90);
        assert_eq!(wide(101, 100), 101, "assigned after the snapshot was taken");
        assert_eq!(wide(90, epoch + 100), epoch + 90);
        assert_eq!(wide(epoch - 5, epoch + 100), epoch - 5, "from before the counter wrapped");
        assert_eq!(wide(3, 2 * epoch - 5), 2 * epoch + 3);
    }
}
