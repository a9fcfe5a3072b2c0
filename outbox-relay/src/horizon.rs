//! Which ids may still appear. An id is drawn at INSERT and its row appears at COMMIT, so a row can appear below others that
//! are published already. The relay looks again at no more than where that can happen.
//!
//! An INSERT takes its lock on the table before it draws its id. So who notes the highest id and then lists the
//! transactions that hold such a lock knows: a row with a lower id that is not there yet is written by one of them, or it is
//! visible to the next look. And each of them writes above the id that was noted before it was first listed. A look whose snapshot
//! shows that one of them has ended therefore begins there; any other begins at the id noted last.
//!
//! All this ends with the session: after a failover ids can be handed out again.

use crate::queries::Writers;

/// Where the next look has to begin.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    /// Rows up to here that were not there at the last look can only come from one of `open`.
    passed: i64,
    open: Vec<OpenTransaction>,
}

/// A transaction that may still add rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenTransaction {
    xid: i64,
    /// All its rows are above this id.
    above: i64,
}

impl Horizon {
    /// The id above which the next look sees all that may have appeared, unless one of [`open`](Self::open) has ended.
    pub(crate) const fn passed(&self) -> i64 {
        self.passed
    }

    /// The transactions that were open, and for each the id that its rows are above.
    pub(crate) fn open(&self) -> (Vec<i64>, Vec<i64>) {
        self.open.iter().map(|open| (open.xid, open.above)).unzip()
    }

    /// Whether listing the open transactions would let the next look begin higher.
    pub(crate) fn is_behind(&self, cursor: i64) -> bool {
        self.passed < cursor || !self.open.is_empty()
    }

    /// A look that began after `writers` were listed, and where it had to, has reached `reached`.
    pub(crate) fn looked(&mut self, writers: &Writers, reached: i64) {
        let before = self.passed;
        self.open = writers
            .xids
            .iter()
            .map(|&xid| {
                let known = self.open.iter().find(|open| open.xid == xid);
                known.copied().unwrap_or(OpenTransaction { xid, above: before })
            })
            .collect();
        // One that has no id of its own yet can't be told from others later: what it may write stays ahead.
        if !writers.anonymous {
            self.passed = writers.highest.min(reached);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writers(highest: i64, xids: &[i64]) -> Writers {
        Writers { highest, xids: xids.to_vec(), anonymous: false }
    }

    #[test]
    fn a_transaction_keeps_the_id_that_was_noted_before_it_was_first_listed() {
        let mut horizon = Horizon::default();
        horizon.looked(&writers(100, &[]), i64::MAX);
        horizon.looked(&writers(200, &[7]), i64::MAX);
        horizon.looked(&writers(300, &[7, 8]), i64::MAX);
        assert_eq!(horizon.passed(), 300);
        assert_eq!(horizon.open(), (vec![7, 8], vec![100, 200]));
        horizon.looked(&writers(400, &[8]), i64::MAX);
        assert_eq!(horizon.open(), (vec![8], vec![200]));
    }

    #[test]
    fn a_look_that_did_not_get_far_passes_no_more_than_it_saw() {
        let mut horizon = Horizon::default();
        horizon.looked(&writers(1000, &[]), 250);
        assert_eq!(horizon.passed(), 250);
    }

    #[test]
    fn a_transaction_without_an_id_holds_the_bound_until_it_has_one() {
        let mut horizon = Horizon::default();
        horizon.looked(&writers(100, &[]), i64::MAX);
        horizon.looked(&Writers { anonymous: true, ..writers(200, &[]) }, i64::MAX);
        assert_eq!(horizon.passed(), 100);
        horizon.looked(&writers(300, &[9]), i64::MAX);
        assert_eq!(horizon.open(), (vec![9], vec![100]), "it may have written right above 100");
        assert_eq!(horizon.passed(), 300);
    }
}
