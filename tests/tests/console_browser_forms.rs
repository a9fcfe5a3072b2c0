//! Forms in a browser: what is typed wrong is said at the field.

use anyhow::ensure;
use pipeline_tests::browser::{Browser, Hands, Scripts, Tab};
use pipeline_tests::console::Console;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::Outbox;
use serde_json::json;

type Tested = anyhow::Result<()>;

/// A page in a browser, of an outbox with an event that failed and one that is published.
struct Opened {
    outbox: Outbox,
    _console: Console,
    _browser: Browser,
    tab: Tab,
}

impl Opened {
    async fn with(hands: Hands, scripts: Scripts) -> anyhow::Result<Self> {
        let outbox = Outbox::new().await?;
        add_failed(&outbox, "order.paid", ["returned", NO_QUEUE], 1).await?;
        outbox.add("7", "order.created").await?;
        let publish = "UPDATE outbox SET published_at = now() WHERE attempts = 0";
        outbox.sql.batch_execute(publish).await?;
        let console = Console::start(&outbox, None, &[]).await?;
        let browser = Browser::start().await?;
        let tab = browser.open(&console.url, hands, scripts).await?;
        Ok(Self { outbox, _console: console, _browser: browser, tab })
    }

    async fn failed(&self) -> anyhow::Result<String> {
        let id = "SELECT event_id::text FROM outbox WHERE published_at IS NULL";
        Ok(self.outbox.sql.query_one(id, &[]).await?.get(0))
    }
}

/// What the script says of a field.
async fn fault(tab: &Tab, name: &str) -> anyhow::Result<(String, bool)> {
    let script = "
        const field = document.getElementById(`in-${arguments[0]}`);
        const note = document.getElementById(`wrong-${arguments[0]}`);
        const isDescribed = field.getAttribute('aria-describedby').split(' ').includes(note.id);
        const isMarked = field.getAttribute('aria-invalid') === 'true' && isDescribed && document.activeElement === field;
        return [note.hidden ? '' : note.textContent, isMarked];";
    let said = tab.run(script, vec![json!(name)]).await?;
    Ok((said[0].as_str().unwrap_or_default().to_owned(), said[1] == true))
}

#[tokio::test]
async fn json_is_checked_at_the_field_before_it_is_sent() -> Tested {
    let opened = Opened::with(Hands::Mouse, Scripts::On).await?;
    let (tab, event) = (&opened.tab, opened.failed().await?);
    tab.open(&format!("/confirm/edit?event_id={event}")).await?;
    tab.fill("Reason", "a wrong number").await?;
    tab.fill("Payload", "{\"n\": 1").await?;
    tab.press("Edit 1 event").await?;
    let (said, is_marked) = fault(tab, "payload").await?;
    ensure!(said.starts_with("This is no JSON: ") && is_marked, "{said} {is_marked}");
    assert!(tab.path().await?.starts_with("/confirm/edit"), "{}", tab.path().await?);
    tab.fill("Payload", "{\"n\": 1}").await?;
    assert_eq!(fault(tab, "payload").await?, (String::new(), false));
    tab.press("Edit 1 event").await?;
    tab.see("Done.").await?;

    tab.open(&format!("/confirm/edit-headers?event_id={event}")).await?;
    tab.fill("Reason", "a region").await?;
    tab.fill("Headers, as JSON", "[1]").await?;
    tab.press("Edit the headers of 1 event").await?;
    let (said, is_marked) = fault(tab, "headers").await?;
    ensure!(said.starts_with("Headers are a JSON object") && is_marked, "{said} {is_marked}");
    tab.fill("Headers, as JSON", "{\"region\": \"eu\"}").await?;
    tab.press("Edit the headers of 1 event").await?;
    tab.see("Done.").await?;
    tab.no_errors().await
}

#[tokio::test]
async fn without_javascript_the_server_says_it_and_what_was_typed_is_kept() -> Tested {
    let opened = Opened::with(Hands::Mouse, Scripts::Off).await?;
    let (tab, event) = (&opened.tab, opened.failed().await?);
    tab.open(&format!("/confirm/edit?event_id={event}")).await?;
    tab.fill("Reason", "a wrong number").await?;
    tab.fill("Payload", "{\"n\": 1").await?;
    tab.press("Edit 1 event").await?;
    tab.see("What you typed").await?;
    tab.press("Edit again with this text").await?;
    assert_eq!(tab.value("Payload").await?, "{\"n\": 1");
    Ok(())
}
