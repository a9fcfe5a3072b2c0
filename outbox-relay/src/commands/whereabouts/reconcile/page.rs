//! What `reconcile` prints.

use super::{ConsumerReport, ReconcileReport};
use crate::commands::output::counted;
use crate::commands::output::table::{Align, TextTable};

/// How many missing events are printed; --json prints all.
const PRINT_LIMIT: usize = 50;

/// Lays out what was found.
pub(super) fn render(report: &ReconcileReport) -> String {
    let mut page = String::new();
    let not_applied =
        if report.knows_dead_letters { "neither applied nor a dead letter" } else { "not applied" };
    for consumer in &report.consumers {
        let ConsumerReport { name, checked, missing, waiting, .. } = consumer;
        let checked = counted(*checked, "event");
        page.push_str(&format!("{name}: {checked} published, {missing} {not_applied}\n"));
        for queue in waiting.iter().filter(|_| *missing > 0) {
            page.push_str(&format!("  {}\n", queue.sentence()));
        }
    }
    if !report.knows_dead_letters {
        page.push_str("Dead letters were not looked for: DEAD_LETTERS_DATABASE_URL is not set.\n");
    }
    if let Some(oldest) = &report.oldest_published_at {
        page.push_str(&format!("The outbox goes back to {oldest}.\n"));
    }
    if report.missing.is_empty() {
        return page;
    }
    let mut table = TextTable::new([
        ("CONSUMER", Align::Left),
        ("EVENT", Align::Left),
        ("TYPE", Align::Left),
        ("PUBLISHED", Align::Left),
    ]);
    for missing in report.missing.iter().take(PRINT_LIMIT) {
        table.add_row([
            &missing.consumer,
            &missing.event_id.to_string(),
            &missing.event_type,
            &missing.published_at,
        ]);
    }
    page.push('\n');
    page.push_str(&table.render());
    if report.missing.len() > PRINT_LIMIT {
        page.push_str(&format!("… and {} more: --json\n", report.missing.len() - PRINT_LIMIT));
    }
    page.push_str("\nWhere one is: outbox-relay where EVENT_ID. To publish it again: outbox-relay replay EVENT_ID\n");
    page
}
