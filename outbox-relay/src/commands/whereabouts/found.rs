//! What the outbox and its relays say of an event.

use uuid::Uuid;

use super::location::{LocatedEvent, Relay};
use super::relays::SilentRelays;
use crate::commands::event::{Event, State};
use crate::commands::paused::ActivePause;
use crate::commands::queries as outbox;
use crate::commands::session::Session;
use crate::database::queries::BlockingPolicy;
use crate::publish::stage::Stage;

/// How often to look again at an event that has changed while its relay was asked.
const LOOKS: usize = 3;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Found {
    /// The row, or its copy in the audit table.
    pub(super) event: Option<LocatedEvent>,
    /// The pauses that keep it back.
    pub(super) pauses: Vec<ActivePause>,
    /// The relay that has its lane, if it is due.
    pub(super) relay: Option<Relay>,
    /// If none has, the relays that can't publish for now. One may have sent it before.
    pub(super) idle_relays: Vec<Relay>,
    /// How far these have sent it, if they have answered.
    pub(super) stage: Option<Stage>,
    /// Whether the broker has confirmed it, and its row can't be changed for now.
    pub(super) is_unsettled: bool,
}

impl Found {
    /// Looks for an event, and asks the relay that has its lane if it is due.
    pub(super) async fn find(
        session: &mut Session,
        event_id: Uuid,
        holding: BlockingPolicy,
        silent: &mut SilentRelays,
    ) -> anyhow::Result<Self> {
        let mut found = Self::look(session, event_id, holding).await?;
        for _ in 1..LOOKS {
            let relays = found.relays();
            let Some(id) = found.event.as_ref().map(|located| located.event.id) else {
                break;
            };
            if relays.is_empty() {
                break;
            }
            let stage = silent.ask(session, &relays, id).await?;
            // An event that is still due was not settled before the answer.
            found = Self::look(session, event_id, holding).await?;
            if found.relays() == relays {
                found.stage = stage;
                break;
            }
        }
        Ok(found)
    }

    async fn look(
        session: &Session,
        event_id: Uuid,
        holding: BlockingPolicy,
    ) -> anyhow::Result<Self> {
        let mut event: Option<LocatedEvent> =
            outbox::find_event(session, event_id, outbox::Contents::NONE, holding).await?;
        if event.is_none() {
            let discarded =
                outbox::find_discarded(session, event_id, outbox::Contents::NONE).await?;
            event = discarded.map(|(event, _payload)| event);
        }
        let pauses = match event.as_ref().map(|located| &located.event) {
            Some(event) if is_pending(event) => pauses_of(session, event).await?,
            _ => Vec::new(),
        };
        let (mut relay, mut idle_relays) = (None, Vec::new());
        let is_ready = event.as_ref().is_some_and(|located| located.event.state == State::Ready);
        let is_unsettled =
            is_ready && !outbox::find_unsettled_published(session, &[event_id]).await?.is_empty();
        if let Some(LocatedEvent { lane: Some(lane), event, .. }) = &event
            && event.state == State::Ready
            && pauses.is_empty()
            && !is_unsettled
        {
            idle_relays = outbox::list_relays::<Relay>(session).await?;
            relay = idle_relays.iter().find(|relay| relay.lanes.contains(lane)).cloned();
            idle_relays.retain(|other| relay.is_none() && other.cannot_publish());
        }
        Ok(Self { event, pauses, relay, idle_relays, stage: None, is_unsettled })
    }

    /// The relays that can tell whether the event was sent.
    fn relays(&self) -> Vec<Relay> {
        self.relay.iter().chain(&self.idle_relays).cloned().collect()
    }
}

const fn is_pending(event: &Event) -> bool {
    !matches!(event.state, State::Published | State::Discarded)
}

/// Returns the active pauses that keep an event back.
async fn pauses_of(session: &Session, event: &Event) -> anyhow::Result<Vec<ActivePause>> {
    let mut pauses: Vec<ActivePause> = outbox::list_pauses(session).await?;
    pauses.retain(|pause| {
        let names = |named: &Option<String>, value: &str| {
            named.as_deref().is_none_or(|named| named == value)
        };
        names(&pause.aggregate_type, &event.aggregate_type)
            && names(&pause.aggregate_id, &event.aggregate_id)
            && names(&pause.event_type, &event.event_type)
    });
    Ok(pauses)
}
