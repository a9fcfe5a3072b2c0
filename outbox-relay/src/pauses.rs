//! What relays don't publish for now: the active rows of `outbox_pauses`.

use std::sync::Arc;

use crate::publish::event::Event;

/// The most pauses that a relay reads, and that may be active.
pub(crate) const MAX_PAUSES: i64 = 1000;

/// Events that are paused: those that match all that is named here. With nothing named, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) aggregate_type: Option<String>,
    pub(crate) aggregate_id: Option<String>,
    pub(crate) event_type: Option<String>,
}

impl Pause {
    pub(crate) fn matches(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        is(&self.aggregate_type, &event.aggregate_type)
            && is(&self.aggregate_id, &event.aggregate_id)
            && is(&self.event_type, &event.event_type)
    }
}

/// All active pauses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PauseSet(Arc<Vec<Pause>>);

/// The pauses as arrays of equal length, for a statement.
#[derive(Debug)]
pub(crate) struct PauseColumns<'a> {
    pub(crate) aggregate_types: Vec<Option<&'a str>>,
    pub(crate) aggregate_ids: Vec<Option<&'a str>>,
    pub(crate) event_types: Vec<Option<&'a str>>,
}

impl PauseSet {
    pub(crate) fn new(pauses: Vec<Pause>) -> Self {
        Self(Arc::new(pauses))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pause> {
        self.0.iter()
    }

    /// Whether each of the `others` is here, too.
    pub(crate) fn contains_all(&self, others: &Self) -> bool {
        others.0.iter().all(|pause| self.0.contains(pause))
    }

    /// Whether the event is paused.
    pub(crate) fn has(&self, event: &Event) -> bool {
        self.0.iter().any(|pause| pause.matches(event))
    }

    pub(crate) fn columns(&self) -> PauseColumns<'_> {
        let pauses = self.0.iter();
        PauseColumns {
            aggregate_types: pauses.clone().map(|pause| pause.aggregate_type.as_deref()).collect(),
            aggregate_ids: pauses.clone().map(|pause| pause.aggregate_id.as_deref()).collect(),
            event_types: pauses.map(|pause| pause.event_type.as_deref()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::event::tests::event;

    #[test]
    fn an_event_is_paused_if_it_matches_all_that_a_pause_names() {
        let event = Event {
            aggregate_type: "order".to_owned(),
            aggregate_id: "7".to_owned(),
            event_type: "order.created".to_owned(),
            ..event()
        };
        let has =
            |aggregate_type: Option<&str>, aggregate_id: Option<&str>, event_type: Option<&str>| {
                let [aggregate_type, aggregate_id, event_type] =
                    [aggregate_type, aggregate_id, event_type].map(|text| text.map(str::to_owned));
                let pause = Pause { aggregate_type, aggregate_id, event_type };
                PauseSet::new(vec![pause]).has(&event)
            };
        assert!(has(None, None, None), "everything");
        assert!(has(Some("order"), Some("7"), Some("order.created")));
        assert!(has(None, None, Some("order.created")));
        assert!(!has(Some("invoice"), None, Some("order.created")));
        assert!(!has(Some("order"), Some("8"), None));
        assert!(!has(None, None, Some("order")));
        assert!(!PauseSet::default().has(&event));
    }
}
