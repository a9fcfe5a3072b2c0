//! What became of the events that were taken: each ends in one of these ways.

use super::aggregate_queue::Head;
use super::{Place, Queue};
use crate::lanes::lane;

impl Queue {
    /// An event that was taken is published, though not settled yet: the next of its aggregate is ready, unless it went in the same
    /// row.
    pub(crate) fn published(&mut self, place: &Place) {
        if let Some(first) = self.hold_after(place) {
            self.hold_line(place.key, first);
            return;
        }
        let line = self.lines.get_mut(&place.key);
        let Some(line) = line.filter(|line| line.head == place.id) else {
            return;
        };
        if let Some(next) = line.behind.pop_front() {
            line.head = next.id;
            line.state = Head::Ready;
            self.ready.push_back(next);
        } else {
            line.state = Head::Done;
        }
        if line.is_short() {
            self.short.push(place.key);
        } else if line.state == Head::Done {
            self.lines.remove(&place.key);
        }
    }

    /// An event that was taken failed, and holds back those behind it.
    pub(crate) fn failed(&mut self, place: &Place) {
        if let Some(line) = self.lines.get_mut(&place.key) {
            line.state = Head::Failed;
            for behind in line.behind.drain(..) {
                self.known.remove(&behind.id);
            }
        }
    }

    /// An event that was taken failed before, as its row says, perhaps with another relay since it was read: the table holds back those
    /// behind it until it is settled as published, so that no scan has found them.
    pub(crate) fn failed_before(&mut self, place: &Place) {
        if let Some(line) = self.lines.get_mut(&place.key)
            && line.head == place.id
        {
            line.retried = Some(place.id);
            line.more = true;
        }
    }

    /// The table knows what became of an event that was taken.
    pub(crate) fn settled(&mut self, place: &Place) {
        self.known.remove(&place.id);
        self.free(place);
        let Some(line) = self.lines.get_mut(&place.key) else {
            return;
        };
        match line.state {
            Head::Failed if line.head == place.id => self.forget_failed(place),
            _ if line.retried == Some(place.id) => line.retried = None,
            _ => (),
        }
    }

    /// The table holds back those behind an event that failed from now on.
    pub(super) fn forget_failed(&mut self, place: &Place) {
        match self.first_aside(place.key).filter(|_| self.ordered) {
            Some(first) => self.hold_line(place.key, first),
            None => drop(self.lines.remove(&place.key)),
        }
    }

    /// The event that was set aside meanwhile, when `place` was the last one of its aggregate in flight.
    fn hold_after(&self, place: &Place) -> Option<i64> {
        let line = self.lines.get(&place.key)?;
        (line.head == place.id && self.is_held(place.key))
            .then(|| self.first_aside(place.key))
            .flatten()
    }

    /// An event that was taken is not pending any more, by somebody else's doing.
    pub(crate) fn gone(&mut self, place: &Place) {
        self.published(place);
        self.settled(place);
    }

    /// An event that was taken goes back: nobody knows what became of it, or it was not sent.
    pub(crate) fn put_back(&mut self, place: Place) {
        if self.is_ready_again(&place) {
            self.ready.push_front(place);
        }
    }

    /// An event that was taken goes back, and is sent apart from the others next time: what it does to a window is no concern of theirs.
    pub(crate) fn set_apart(&mut self, place: Place) {
        if self.is_ready_again(&place) {
            self.apart.push_back(place);
        }
    }

    /// Whether an event that goes back may be sent again. If not, it is looked up again when its aggregate goes on.
    fn is_ready_again(&mut self, place: &Place) -> bool {
        self.free(place);
        if let Some(first) = self.hold_after(place) {
            self.known.remove(&place.id);
            self.hold_line(place.key, first);
            return false;
        }
        self.head(place, Head::Ready);
        true
    }

    /// An event that was taken is none of this relay's any more: nobody knows what became of it, and another relay owns its lane.
    pub(crate) fn let_go(&mut self, place: &Place) {
        self.free(place);
        self.known.remove(&place.id);
        self.lines.remove(&place.key);
    }

    pub(super) fn head(&mut self, place: &Place, state: Head) {
        if let Some(line) = self.lines.get_mut(&place.key)
            && line.head == place.id
        {
            line.state = state;
        }
    }

    pub(super) fn free(&mut self, place: &Place) {
        let busy = &mut self.busy[usize::from(lane(place.key))];
        *busy = busy.saturating_sub(1);
    }
}
