//! The id below which no new row can appear. An id is drawn at INSERT and its row appears at
//! COMMIT, so a row can appear below others that are published already. A scan reads again only
//! where that is possible.
//!
//! An INSERT takes its lock on the table before it draws its id. A relay that notes the highest id
//! and then lists the transactions that hold such a lock therefore knows: a row with a lower id
//! that is not there yet is written by one of them, or is visible to the next scan. And each of
//! them writes above the id that was noted before it was first listed. A scan whose snapshot shows
//! that one of them has ended begins there; any other scan begins at the id noted last.
//!
//! All this ends with the session: after a failover ids can be handed out again.

use crate::database::queries::{OpenTransaction, Writers};

/// Where the next scan has to begin.
#[derive(Debug)]
pub(crate) struct Watermark {
    /// Rows up to here that the last scan did not find can only come from one of `open`.
    low: i64,
    open: Vec<OpenTransaction>,
}

impl Default for Watermark {
    /// Below any id.
    fn default() -> Self {
        Self { low: i64::MIN, open: Vec::new() }
    }
}

impl Watermark {
    /// The id above which the next scan finds every new row, unless one of [`open`](Self::open) has
    /// ended.
    pub(crate) const fn low(&self) -> i64 {
        self.low
    }

    /// The transactions that were open when they were listed last.
    pub(crate) fn open(&self) -> &[OpenTransaction] {
        &self.open
    }

    /// Whether listing the open transactions could let the next scan begin higher.
    pub(crate) fn is_behind(&self, cursor: i64) -> bool {
        self.low < cursor || !self.open.is_empty()
    }

    /// Lowers the watermark to `id`, as rows have appeared above it that it did not allow for.
    pub(crate) fn lower(&mut self, id: i64) {
        self.low = self.low.min(id);
    }

    /// Raises the watermark after a scan that has reached the id `reached`. `writers` were listed
    /// before the scan began.
    pub(crate) fn advance(&mut self, writers: Writers, reached: i64) {
        // A transaction that had no id yet and was prepared for a later commit goes on under a name
        // that can't be matched with the old one.
        let gone = self.open.iter().filter(|open| {
            open.writer.xid.is_none() && !writers.open.iter().any(|writer| open.is(writer))
        });
        let new = gone.map(|open| open.above).fold(self.low, i64::min);
        self.open = writers
            .open
            .into_iter()
            .map(|writer| {
                let known = self.open.iter().find(|open| open.is(&writer));
                OpenTransaction { above: known.map_or(new, |known| known.above), writer }
            })
            .collect();
        self.low = writers.highest.min(reached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::queries::Writer;

    fn writers<const N: usize>(highest: i64, open: [(&str, Option<i64>); N]) -> Writers {
        let open = open.map(|(virtual_id, xid)| Writer { virtual_id: virtual_id.to_owned(), xid });
        Writers { highest, open: open.to_vec() }
    }

    fn above(watermark: &Watermark) -> Vec<(&str, i64)> {
        let open = watermark.open().iter();
        open.map(|open| (open.writer.virtual_id.as_str(), open.above)).collect()
    }

    #[test]
    fn a_transaction_keeps_the_watermark_from_before_it_was_first_listed() {
        let mut watermark = Watermark::default();
        watermark.advance(writers(100, []), i64::MAX);
        watermark.advance(writers(200, [("3/1", Some(7))]), i64::MAX);
        watermark.advance(writers(300, [("3/1", Some(7)), ("4/1", Some(8))]), i64::MAX);
        assert_eq!(watermark.low(), 300);
        assert_eq!(above(&watermark), [("3/1", 100), ("4/1", 200)]);
        watermark.advance(writers(400, [("4/1", Some(8)), ("3/2", Some(9))]), i64::MAX);
        assert_eq!(above(&watermark), [("4/1", 200), ("3/2", 300)]);
    }

    #[test]
    fn a_lowered_watermark_covers_what_open_transactions_add() {
        let mut watermark = Watermark::default();
        watermark.advance(writers(100, []), i64::MAX);
        watermark.advance(writers(200, [("3/1", Some(7))]), i64::MAX);
        watermark.lower(-5);
        assert_eq!(watermark.low(), -5);
        assert_eq!(above(&watermark), [("3/1", 100)]);
        watermark.advance(writers(300, [("3/1", Some(7)), ("4/1", Some(8))]), 50);
        assert_eq!(watermark.low(), 50);
        assert_eq!(above(&watermark), [("3/1", 100), ("4/1", -5)]);
        watermark.lower(70);
        assert_eq!(watermark.low(), 50, "it begins below that anyway");
    }

    #[test]
    fn a_scan_that_did_not_get_far_raises_it_no_further_than_it_read() {
        let mut watermark = Watermark::default();
        watermark.advance(writers(1000, []), 250);
        assert_eq!(watermark.low(), 250);
    }

    #[test]
    fn a_transaction_that_gets_its_xid_keeps_its_lower_bound() {
        let mut watermark = Watermark::default();
        watermark.advance(writers(100, []), i64::MAX);
        watermark.advance(writers(200, [("3/1", None)]), i64::MAX);
        assert_eq!(watermark.low(), 200, "it holds nobody up");
        watermark.advance(writers(300, [("3/1", Some(9))]), i64::MAX);
        assert_eq!(above(&watermark), [("3/1", 100)], "it may have written right above 100");
        watermark.advance(writers(400, [("-1/9", Some(9))]), i64::MAX);
        assert_eq!(above(&watermark), [("-1/9", 100)], "prepared");
    }

    #[test]
    fn a_transaction_that_got_its_xid_when_it_was_prepared_may_be_any_new_one() {
        let mut watermark = Watermark::default();
        watermark.advance(writers(100, []), i64::MAX);
        watermark.advance(writers(200, [("3/1", None), ("4/1", Some(8))]), i64::MAX);
        watermark.advance(writers(300, [("4/1", Some(8)), ("-1/9", Some(9))]), i64::MAX);
        assert_eq!(above(&watermark), [("4/1", 100), ("-1/9", 100)]);
    }
}
