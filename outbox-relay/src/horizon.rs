//! Which ids may still appear. An id is drawn at INSERT and its row appears at COMMIT, so a row can appear below others that
//! are published already. The relay looks again at no more than where that can happen.
//!
//! An INSERT takes its lock on the table before it draws its id. So who notes the highest id and then lists the
//! transactions that hold such a lock knows: a row with a lower id that is not there yet is written by one of them, or it is
//! visible to the next look. And each of them writes above the id that was noted before it was first listed. A look whose snapshot
//! shows that one of them has ended therefore begins there; any other begins at the id noted last.
//!
//! All this ends with the session: after a failover ids can be handed out again.

use crate::queries::{Writer, Writers};

/// Where the next look has to begin.
#[derive(Debug)]
pub(crate) struct Horizon {
    /// Rows up to here that were not there at the last look can only come from one of `open`.
    passed: i64,
    open: Vec<OpenTransaction>,
}

/// A transaction that may still add rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) writer: Writer,
    /// All its rows are above this id.
    pub(crate) above: i64,
}

impl OpenTransaction {
    fn is(&self, writer: &Writer) -> bool {
        self.writer.virtual_id == writer.virtual_id
            || (writer.xid.is_some() && self.writer.xid == writer.xid)
    }
}

impl Default for Horizon {
    /// Below any id.
    fn default() -> Self {
        Self { passed: i64::MIN, open: Vec::new() }
    }
}

impl Horizon {
    /// The id above which the next look sees all that may have appeared, unless one of [`open`](Self::open) has ended.
    pub(crate) const fn passed(&self) -> i64 {
        self.passed
    }

    /// The transactions that were open.
    pub(crate) fn open(&self) -> &[OpenTransaction] {
        &self.open
    }

    /// Whether listing the open transactions would let the next look begin higher.
    pub(crate) fn is_behind(&self, cursor: i64) -> bool {
        self.passed < cursor || !self.open.is_empty()
    }

    /// Rows have appeared above `id` that nobody could know of: the next look begins there.
    pub(crate) fn go_back(&mut self, id: i64) {
        self.passed = self.passed.min(id);
    }

    /// A look that began after `writers` were listed, and where it had to, has reached `reached`.
    pub(crate) fn looked(&mut self, writers: Writers, reached: i64) {
        // One that had no id yet and was prepared for a later commit goes on under names that nobody knows.
        let gone = self.open.iter().filter(|open| {
            open.writer.xid.is_none() && !writers.open.iter().any(|writer| open.is(writer))
        });
        let new = gone.map(|open| open.above).fold(self.passed, i64::min);
        self.open = writers
            .open
            .into_iter()
            .map(|writer| {
                let known = self.open.iter().find(|open| open.is(&writer));
                OpenTransaction { above: known.map_or(new, |known| known.above), writer }
            })
            .collect();
        self.passed = writers.highest.min(reached);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writers<const N: usize>(highest: i64, open: [(&str, Option<i64>); N]) -> Writers {
        let open = open.map(|(virtual_id, xid)| Writer { virtual_id: virtual_id.to_owned(), xid });
        Writers { highest, open: open.to_vec() }
    }

    fn above(horizon: &Horizon) -> Vec<(&str, i64)> {
        let open = horizon.open().iter();
        open.map(|open| (open.writer.virtual_id.as_str(), open.above)).collect()
    }

    #[test]
    fn a_transaction_keeps_the_id_that_was_noted_before_it_was_first_listed() {
        let mut horizon = Horizon::default();
        horizon.looked(writers(100, []), i64::MAX);
        horizon.looked(writers(200, [("3/1", Some(7))]), i64::MAX);
        horizon.looked(writers(300, [("3/1", Some(7)), ("4/1", Some(8))]), i64::MAX);
        assert_eq!(horizon.passed(), 300);
        assert_eq!(above(&horizon), [("3/1", 100), ("4/1", 200)]);
        horizon.looked(writers(400, [("4/1", Some(8)), ("3/2", Some(9))]), i64::MAX);
        assert_eq!(above(&horizon), [("4/1", 200), ("3/2", 300)]);
    }

    #[test]
    fn what_nobody_could_know_of_is_looked_at_again_with_what_the_open_transactions_add() {
        let mut horizon = Horizon::default();
        horizon.looked(writers(100, []), i64::MAX);
        horizon.looked(writers(200, [("3/1", Some(7))]), i64::MAX);
        horizon.go_back(-5);
        assert_eq!(horizon.passed(), -5);
        assert_eq!(above(&horizon), [("3/1", 100)]);
        horizon.looked(writers(300, [("3/1", Some(7)), ("4/1", Some(8))]), 50);
        assert_eq!(horizon.passed(), 50);
        assert_eq!(above(&horizon), [("3/1", 100), ("4/1", -5)]);
        horizon.go_back(70);
        assert_eq!(horizon.passed(), 50, "it begins below that anyway");
    }

    #[test]
    fn a_look_that_did_not_get_far_passes_no_more_than_it_saw() {
        let mut horizon = Horizon::default();
        horizon.looked(writers(1000, []), 250);
        assert_eq!(horizon.passed(), 250);
    }

    #[test]
    fn a_transaction_that_gets_an_id_of_its_own_keeps_what_was_noted_before() {
        let mut horizon = Horizon::default();
        horizon.looked(writers(100, []), i64::MAX);
        horizon.looked(writers(200, [("3/1", None)]), i64::MAX);
        assert_eq!(horizon.passed(), 200, "it holds nobody up");
        horizon.looked(writers(300, [("3/1", Some(9))]), i64::MAX);
        assert_eq!(above(&horizon), [("3/1", 100)], "it may have written right above 100");
        horizon.looked(writers(400, [("-1/9", Some(9))]), i64::MAX);
        assert_eq!(above(&horizon), [("-1/9", 100)], "prepared");
    }

    #[test]
    fn a_transaction_that_got_its_id_when_it_was_prepared_may_be_any_that_is_new() {
        let mut horizon = Horizon::default();
        horizon.looked(writers(100, []), i64::MAX);
        horizon.looked(writers(200, [("3/1", None), ("4/1", Some(8))]), i64::MAX);
        horizon.looked(writers(300, [("4/1", Some(8)), ("-1/9", Some(9))]), i64::MAX);
        assert_eq!(above(&horizon), [("4/1", 100), ("-1/9", 100)]);
    }
}
