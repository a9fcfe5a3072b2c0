//! Reads events that were published, a page at a time.

use std::time::Instant;

use super::extent::Extent;
use super::queries;
use crate::commands::session::Session;
use crate::config::RelayArgs;
use crate::publish::event::{Event, Limits};
use crate::queue::EventRef;

/// Bytes of payload, about, after which a page takes no further event.
const BYTES: i64 = 2 << 20;

/// The next events above `above`, in the order of their ids: a window of them at the most.
pub(super) async fn read(
    session: &Session,
    extent: &Extent,
    above: i64,
    relay: &RelayArgs,
) -> anyhow::Result<Vec<Event>> {
    let (most, longest) = (i64::from(relay.relay_window), i64::from(relay.relay_max_message_bytes));
    // What is too long for a frame is known to the broker's connection.
    let limits = Limits { payload: longest, headers: i64::MAX };
    let rows = queries::load_published(session, extent, above, [most, BYTES, longest]).await?;
    let now = Instant::now();
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let event_ref = EventRef { id: row.try_get("id")?, key: 0, size: 0 };
        events.extend(Event::from_row(row, event_ref, limits, now)?);
    }
    Ok(events)
}
