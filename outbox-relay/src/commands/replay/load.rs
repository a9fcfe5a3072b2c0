//! Loads published events, a page at a time.

use std::time::Instant;

use super::queries;
use super::selection::ReplaySelection;
use crate::commands::session::Session;
use crate::config::RelayArgs;
use crate::publish::event::{Event, Limits};
use crate::queue::EventRef;

/// A page ends when its payloads have about so many bytes.
const PAGE_BYTES: i64 = 2 << 20;

/// Loads the next selected events with an id above `above`, in the order of their ids: at most as
/// many as fit into a window.
pub(super) async fn load_page(
    session: &Session,
    selection: &ReplaySelection,
    above: i64,
    relay: &RelayArgs,
) -> anyhow::Result<Vec<Event>> {
    let (window, max_payload) =
        (i64::from(relay.relay_window), i64::from(relay.relay_max_message_bytes));
    // The publisher knows which headers are too long for a frame.
    let limits = Limits { payload: max_payload, headers: i64::MAX };
    let page_limits = [window, PAGE_BYTES, max_payload];
    let rows = queries::load_published(session, selection, above, page_limits).await?;
    let now = Instant::now();
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let event_ref = EventRef { id: row.try_get("id")?, key: 0, size: 0 };
        events.extend(Event::from_row(row, event_ref, limits, now)?);
    }
    Ok(events)
}
