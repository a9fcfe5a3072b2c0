//! What was published in the last minute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queries;
use crate::commands::session::Session;

/// How many rows a statement reads.
const PAGE_ROWS: i64 = 5_000;

/// How many statements to run at the most.
const PAGE_LIMIT: usize = 40;

/// How many events are counted. Of more, the rate of these is taken for that of the whole minute:
/// each row costs the server 10 to 20 µs, and somebody asks for the rate because there is much to do.
const COUNTED: i64 = 20_000;

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;

/// What was published in the last minute.
#[derive(Debug, Serialize)]
pub(super) struct Rate {
    pub(super) events: i64,
    /// Whether there may be more: among rows that were skipped, or that are older than those read.
    pub(super) at_least: bool,
    /// Whether the numbers are those of the newest events, extrapolated to a minute.
    pub(super) estimated: bool,
    pub(super) by_type: Vec<TypeRate>,
}

/// What was published of one event type.
#[derive(Debug, Serialize)]
pub(super) struct TypeRate {
    pub(super) event_type: String,
    pub(super) events: i64,
    /// The average time from the start of the transaction that wrote an event to its confirm.
    pub(super) average_delay_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Page {
    rows: i64,
    lowest_id: Option<i64>,
    /// How many milliseconds ago the first of the recent ones was published.
    first_age_ms: Option<i64>,
    published_before: bool,
    recent: Vec<Recent>,
}

#[derive(Default, Deserialize)]
struct Recent {
    event_type: String,
    published: i64,
    delay: f64,
    delayed: i64,
}

/// Reads the newest rows, page by page, down to those published before the last minute. No index is
/// by `published_at`, and a backlog of any length may lie above the events that are published now:
/// it is skipped, not read.
pub(super) async fn measure(session: &Session) -> anyhow::Result<Rate> {
    let mut types: BTreeMap<String, Recent> = BTreeMap::new();
    let (mut below, mut at_least) = (None, true);
    let (mut has_skipped, mut counted, mut first_age) = (false, 0, 1);
    let mut estimated = false;
    for _ in 0..PAGE_LIMIT {
        let page: Page = queries::measure_rate(session, below, PAGE_ROWS).await?;
        let is_pending = page.recent.is_empty() && !page.published_before;
        let over = page.rows < PAGE_ROWS || (page.recent.is_empty() && page.published_before);
        for recent in page.recent {
            let sum = types.entry(recent.event_type).or_default();
            sum.published += recent.published;
            counted += recent.published;
            sum.delay += recent.delay;
            sum.delayed += recent.delayed;
        }
        first_age = first_age.max(page.first_age_ms.unwrap_or_default());
        if over {
            at_least = has_skipped;
            break;
        }
        if counted >= COUNTED {
            (at_least, estimated) = (false, true);
            break;
        }
        below = page.lowest_id;
        if let Some(lowest_id) = page.lowest_id.filter(|_| is_pending) {
            below = queries::skip_pending(session, lowest_id).await?;
            has_skipped = true;
        }
    }
    let age = if estimated { first_age } else { MINUTE };
    let mut by_type: Vec<TypeRate> = types.into_iter().map(|one| type_rate(one, age)).collect();
    by_type.sort_by_key(|rate| std::cmp::Reverse(rate.events));
    Ok(Rate { events: by_type.iter().map(|rate| rate.events).sum(), at_least, estimated, by_type })
}

/// `age`: within how many milliseconds the events were published.
fn type_rate((event_type, sum): (String, Recent), age: i64) -> TypeRate {
    let average = |count: f64| sum.delay / count;
    let counted = i32::try_from(sum.delayed).unwrap_or(i32::MAX);
    TypeRate {
        event_type,
        events: sum.published.saturating_mul(MINUTE) / age,
        average_delay_seconds: (counted > 0).then(|| average(f64::from(counted))),
    }
}
