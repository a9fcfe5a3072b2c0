//! What was published in the last minute.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::commands::queries;
use crate::commands::session::Session;

/// Rows that a statement looks at.
const ROWS: i64 = 50_000;

/// Statements at the most: what lies under more rows than this is not seen.
const PAGES: usize = 40;

/// What was published in the last minute.
#[derive(Debug, Serialize)]
pub(super) struct Rate {
    pub(super) events: i64,
    /// There were more rows than are looked at.
    pub(super) at_least: bool,
    pub(super) by_type: Vec<OfType>,
}

/// What was published of one type.
#[derive(Debug, Serialize)]
pub(super) struct OfType {
    pub(super) event_type: String,
    pub(super) events: i64,
    /// From the begin of the transaction that wrote an event to its confirm.
    pub(super) average_delay_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct Page {
    rows: i64,
    lowest_id: Option<i64>,
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

/// Reads the newest rows until it comes to what was published before the last minute. No index knows when a row was published,
/// and a backlog of any length may lie above what is published now.
pub(super) async fn measure(session: &Session) -> anyhow::Result<Rate> {
    let mut types: BTreeMap<String, Recent> = BTreeMap::new();
    let (mut below, mut at_least) = (None, true);
    for _ in 0..PAGES {
        let page: Page = queries::rate(session, below, ROWS).await?;
        let over = page.rows < ROWS || (page.recent.is_empty() && page.published_before);
        for recent in page.recent {
            let sum = types.entry(recent.event_type).or_default();
            sum.published += recent.published;
            sum.delay += recent.delay;
            sum.delayed += recent.delayed;
        }
        if over {
            at_least = false;
            break;
        }
        below = page.lowest_id;
    }
    let mut by_type: Vec<OfType> = types.into_iter().map(of_type).collect();
    by_type.sort_by_key(|of_type| std::cmp::Reverse(of_type.events));
    Ok(Rate { events: by_type.iter().map(|of_type| of_type.events).sum(), at_least, by_type })
}

fn of_type((event_type, sum): (String, Recent)) -> OfType {
    let average = |count: f64| sum.delay / count;
    let counted = i32::try_from(sum.delayed).unwrap_or(i32::MAX);
    OfType {
        event_type,
        events: sum.published,
        average_delay_seconds: (counted > 0).then(|| average(f64::from(counted))),
    }
}
