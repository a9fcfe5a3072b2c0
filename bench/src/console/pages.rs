//! Every page, each list with its tabs, filters and next pages, and the search box.

use super::databases::Databases;

/// Addresses in which names in braces stand for rows that are there.
const PAGES: [&str; 67] = [
    "/",
    "/failures",
    "/failures/{fingerprint}",
    "/failures/{fingerprint}?kind={kind}",
    "/events",
    "/events?after={published_id}",
    "/events?state=pending",
    "/events?state=pending&after={stuck_id}",
    "/events?state=waiting",
    "/events?state=scheduled",
    "/events?state=stuck",
    "/events?state=stuck&after={stuck_id}",
    "/events?state=parked",
    "/events?state=published",
    "/events?state=published&after={published_id}",
    "/events?aggregate_type=failing",
    "/events?aggregate={aggregate_id}",
    "/events?type=order.paid",
    "/events?kind=returned",
    "/events?kind=returned&state=stuck&type=order.paid",
    "/events?fingerprint={fingerprint}",
    "/events?error=cause%20299",
    "/events?state=stuck&error=cause%20299",
    "/events?kind=returned&error=nothing",
    "/events?since=5m",
    "/events?until=1d",
    "/events/{published}",
    "/events/{stuck}",
    "/events/{behind}",
    "/aggregates/failing/{aggregate_id}",
    "/aggregates/order/history-7",
    "/dead-letters",
    "/dead-letters?after=1000",
    "/dead-letters?state=returning",
    "/dead-letters?state=returned",
    "/dead-letters?state=discarded",
    "/dead-letters?state=any",
    "/dead-letters?queue=mail.dlq",
    "/dead-letters?kind=expired",
    "/dead-letters?type=order.paid",
    "/dead-letters?fingerprint={letter_fingerprint}",
    "/dead-letters?queue=mail.dlq&kind=expired&type=order.paid",
    "/dead-letters?error=cause%20299",
    "/dead-letters?state=returned&error=nothing",
    "/dead-letters?state=any&message_id=m777",
    "/dead-letters?since=1d",
    "/dead-letters?until=1d",
    "/dead-letters/groups",
    "/dead-letters/groups?queue=mail.dlq",
    "/dead-letters/groups?kind=expired",
    "/dead-letters/{letter}",
    "/pauses",
    "/relays",
    "/audit",
    "/audit?after=1000",
    "/audit?actor=alice&action=retry",
    "/audit?actor=eve",
    "/audit?event=00000000-0000-0000-0000-000000000100",
    "/audit?operation=00000000-0000-0000-0000-000000000001",
    "/about",
    "/search?q={published}",
    "/search?q=failing/{aggregate_id}",
    "/search?q={aggregate_id}",
    "/search?q={fingerprint}",
    "/search?q={letter}",
    "/search?q=nothing",
    "/confirm/retry?event_id={stuck}",
];

/// The addresses for rows that are there.
pub(super) async fn pages(databases: &Databases) -> anyhow::Result<Vec<String>> {
    let mut pages = PAGES.map(ToOwned::to_owned);
    let outbox = &databases.outbox.sql;
    // In a session that reads an index, in this order.
    for (names, query) in [
        (&["published", "published_id"][..], "SELECT event_id::text, id::text FROM outbox ORDER BY outbox.id LIMIT 1"),
        (
            &["stuck", "stuck_id", "aggregate_id", "fingerprint", "kind"],
            "SELECT event_id::text, id::text, aggregate_id, error_fingerprint, error_kind FROM outbox
             WHERE published_at IS NULL AND attempts > 0 AND next_attempt_at = 'infinity'
             ORDER BY outbox.id OFFSET 100 LIMIT 1",
        ),
        (
            &["behind"],
            "SELECT event_id::text FROM outbox
             WHERE published_at IS NULL AND aggregate_type = 'failing' AND next_attempt_at IS NULL
             ORDER BY id LIMIT 1",
        ),
    ] {
        let row = outbox.query_one(query, &[]).await?;
        for (place, name) in names.iter().enumerate() {
            put(&mut pages, name, row.try_get(place)?);
        }
    }
    let letter = "SELECT id::text, fingerprint FROM dead_letters WHERE state = 'open' ORDER BY dead_letters.id OFFSET 100 LIMIT 1";
    let letter = databases.desk.sql.query_one(letter, &[]).await?;
    put(&mut pages, "letter", letter.try_get(0)?);
    put(&mut pages, "letter_fingerprint", letter.try_get(1)?);
    Ok(pages.into())
}

fn put(pages: &mut [String], name: &str, value: &str) {
    for page in pages {
        *page = page.replace(&format!("{{{name}}}"), value);
    }
}
