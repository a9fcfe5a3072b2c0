//! Rows that are to be read, and the answer of the table.

use std::collections::BTreeSet;

use crate::database::queries::{
    DueCursor, DueEvents, OpenTransaction, ScannedRows, Successors, Writers,
};

/// Rows to be read.
#[derive(Debug)]
pub(crate) enum Scan {
    /// The successors of the events `ids` in the aggregates `keys`.
    Successors { keys: Vec<i64>, ids: Vec<i64> },
    /// Failed events that are due again, and scheduled ones up to an id that are due: so many rows
    /// of each page.
    Due { failed: DueCursor, scheduled: DueCursor, scheduled_up_to: i64, rows: i64 },
    /// Events above an id, or above that of an open transaction which has ended since. With
    /// `lists_writers`, the open transactions are listed before.
    New { above: i64, open: Vec<OpenTransaction>, lists_writers: bool, rows: i64 },
    /// Events above an id. Those of `suspects` that are still pending have been overlooked.
    Suspects { above: i64, suspects: BTreeSet<i64>, rows: i64 },
}

/// What the table answered.
#[derive(Debug)]
pub(crate) enum Rows {
    /// To [`Scan::Successors`].
    Successors(Successors),
    /// To [`Scan::Due`].
    Due(DueEvents),
    /// To [`Scan::New`], with the transactions if they were listed, and to [`Scan::Suspects`].
    Scanned(Option<Writers>, ScannedRows),
}

/// What all scans of a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanOutcome {
    /// All scans ran and found nothing new.
    Nothing,
    /// Something was found, or there is more to read.
    Something,
    /// The table holds other rows under the same ids: what was loaded before is void.
    Replaced,
}
