//! Lines of which the table holds more than is remembered here.

use std::collections::HashMap;

use super::aggregate_queue::{Head, LINE};
use super::{Place, Queue};

impl Queue {
    /// How many events [`lengthen`](Self::lengthen) may be given of each line.
    pub(crate) const LINE: usize = LINE;

    /// At most `count` lines of which too few events are remembered: key, and the id behind which the table holds more.
    pub(crate) fn short_lines(&mut self, count: usize) -> (Vec<i64>, Vec<i64>) {
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        if self.is_full() {
            // There is enough to be sent without them.
            return (keys, ids);
        }
        let mut later = Vec::new();
        for key in std::mem::take(&mut self.short) {
            let Some(line) = self.lines.get(&key) else {
                continue;
            };
            // Behind one that failed, the table is not asked before it knows of that.
            let short = line.is_short() && !matches!(line.state, Head::Failed | Head::Held);
            if !short || keys.contains(&key) {
                continue;
            }
            if line.retried.is_some() || keys.len() == count {
                later.push(key);
                continue;
            }
            keys.push(key);
            ids.push(line.behind.back().map_or(line.head, |last| last.id));
        }
        self.short = later;
        (keys, ids)
    }

    /// What the table holds behind lines that were short, at most [`Queue::LINE`] events of each.
    pub(crate) fn lengthen(&mut self, keys: &[i64], places: Vec<Place>) {
        let mut found: HashMap<i64, Vec<Place>> = HashMap::new();
        for place in places {
            found.entry(place.key).or_default().push(place);
        }
        for key in keys {
            let Some(line) = self.lines.get_mut(key) else {
                continue;
            };
            let found = found.remove(key).unwrap_or_default();
            line.more = found.len() >= LINE;
            for place in found {
                if self.known.insert(place.id) {
                    line.behind.push_back(place);
                }
            }
            if line.state == Head::Done {
                if let Some(next) = line.behind.pop_front() {
                    line.head = next.id;
                    line.state = Head::Ready;
                    self.ready.push_back(next);
                } else if line.more {
                    self.short.push(*key);
                } else {
                    self.lines.remove(key);
                }
            }
        }
    }
}
