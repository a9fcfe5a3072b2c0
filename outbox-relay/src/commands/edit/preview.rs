//! An event as it would be after an edit.

use std::time::Instant;

use anyhow::bail;
use uuid::Uuid;

use super::contents::{Edit, Invalid};
use super::{not_editable, queries};
use crate::broker::FRAME_MAX;
use crate::commands::session::Session;
use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::message::MessageBuilder;
use crate::queue::EventRef;

/// How many bytes the frames of the relays' connections hold, unless their URL says otherwise. The
/// command has no connection of its own, as whoever mends events need not be able to publish any.
const FRAME: usize = FRAME_MAX as usize;

/// What an edit would change.
#[derive(Debug)]
pub(super) struct Preview {
    /// The hash of the contents that are stored now.
    pub(super) digest: String,
    /// The columns that would change.
    pub(super) changed: Vec<String>,
    /// Whether the event is stuck or waits for its next attempt.
    pub(super) is_held_back: bool,
    /// Whether the event is scheduled or parked: no relay has tried it, and it has a `next_attempt_at`.
    pub(super) is_scheduled: bool,
}

/// Returns what the edit would change. Fails with [`Invalid`] if the event would be stuck, for the
/// reason that a relay would give.
pub(super) async fn preview(
    session: &Session,
    event_id: Uuid,
    edit: &Edit,
    relay: &RelayArgs,
) -> anyhow::Result<Preview> {
    let messages = MessageBuilder::new(relay);
    let limits = messages.limits(FRAME);
    let Some(row) = queries::preview_edit(session, event_id, edit, limits).await? else {
        return Err(not_editable(session, event_id).await?);
    };
    if edit.at.is_some()
        && row.try_get::<_, Option<i32>>("attempts")?.is_some_and(|attempts| attempts > 0)
    {
        bail!(
            "{event_id} has failed before, and --at moves only events that were never tried: outbox-relay retry {event_id} makes it due"
        );
    }
    let event_ref = EventRef { id: row.try_get("id")?, key: 0, size: 0 };
    if let Some(event) = Event::from_row(&row, event_ref, limits, Instant::now())? {
        messages.build(&event, FRAME).map_err(|reason| {
            Invalid(format!("the event would be stuck: {reason}; it was not edited"))
        })?;
    }
    Ok(Preview {
        digest: row.try_get("digest")?,
        changed: row.try_get("changed")?,
        is_held_back: row.try_get("is_held_back")?,
        is_scheduled: row.try_get("is_scheduled")?,
    })
}
