//! What an action will do, in words.

use crate::console::action::Action;

/// What will happen, as a sentence.
pub(super) fn what(action: &Action, is_named: bool, count: Option<u64>) -> String {
    let of = match count {
        Some(1) => format!("1 {}", action.noun()),
        Some(count) => format!("{count} {}s", action.noun()),
        None => "what is named".to_owned(),
    };
    let by_filter = !is_named && count.is_some();
    let whole = if by_filter { ", which match the filter now" } else { "" };
    let is_one = count == Some(1);
    let then = match action.name {
        "retry" if is_one => "It is due at once, and a relay publishes it in order.",
        "discard" if is_one => {
            "It is deleted and never published; the audit table keeps a copy, from which an admin can restore it."
        }
        "replay" if is_one => {
            "It is published again, with the header x-replayed; consumers that deduplicate skip what they have applied."
        }
        "restore" if is_one => "It is written again from its copy, as the last of its aggregate.",
        "return" if is_one => {
            "It is published to the queue that it came from, or to the one that is named below. Unless it or its consumer was mended, it dies again."
        }
        "discard-letters" if is_one => {
            "Its consumer never gets it; the row stays until its retention ends. It can't be taken back."
        }
        "retry" => "They are due at once, and the relays publish them in order.",
        "discard" => {
            "They are deleted and never published; the audit table keeps a copy of each, from which an admin can restore them."
        }
        "replay" => {
            "They are published again, with the header x-replayed; consumers that deduplicate skip what they have applied."
        }
        "edit" | "edit-headers" => "The audit table keeps the event as it was.",
        "restore" => "They are written again from their copies, each as the last of its aggregate.",
        "forget" | "forget-letters" => "They are erased for ever. It can't be undone.",
        "pause" => "Relays publish none of them until the pause ends; nothing is lost.",
        "resume" => "Relays publish again what was paused, in order.",
        "return" => {
            "They are published to the queues that they came from, or to the one that is named below. What was not mended dies again."
        }
        "discard-letters" => {
            "Their consumers never get them; the rows stay until their retention ends. It can't be taken back."
        }
        "edit-letter" => "The audit table keeps both versions.",
        _ => "The audit table keeps the note before.",
    };
    format!("{} {of}{whole}. {then}", action.verb)
}
