//! Forms and lists in a browser: what is typed wrong is said at the field, what can't be done to a
//! selection is not offered, filters are folded on a phone, and the help gives the focus back.

use anyhow::ensure;
use fantoccini::Locator;
use pipeline_tests::browser::{Browser, Hands, Media, Scripts, Tab};
use pipeline_tests::console::Console;
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::Outbox;
use serde_json::json;

type Tested = anyhow::Result<()>;

/// A page in a browser, of an outbox with an event that failed and one that is published.
struct Opened {
    outbox: Outbox,
    console: Console,
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
        Ok(Self { outbox, console, _browser: browser, tab })
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

#[tokio::test]
async fn what_can_not_be_done_to_a_selection_is_not_offered() -> Tested {
    let opened = Opened::with(Hands::Mouse, Scripts::On).await?;
    let tab = &opened.tab;
    tab.open("/events").await?;
    let toggle = async |state: &str| -> Tested {
        let rows = format!(".selection tbody input[data-state={state}]");
        Ok(tab.client.find(Locator::Css(&rows)).await?.click().await?)
    };
    let offered = async || {
        let offered = "
            const buttons = [...document.querySelectorAll('[data-bulk]')].filter((each) => !each.disabled);
            return [buttons.map((each) => each.textContent), document.querySelector('[data-selected]').textContent];";
        tab.run(offered, vec![]).await
    };
    assert_eq!(offered().await?, json!([[], "0 selected:"]));
    toggle("published").await?;
    assert_eq!(offered().await?, json!([["Replay…"], "1 selected (1 published):"]));
    toggle("stuck").await?;
    let both = offered().await?;
    assert_eq!(both[0], json!([]), "{both}");
    let why = "return document.querySelector('[formaction$=\"/retry\"]').title";
    assert_eq!(
        tab.run(why, vec![]).await?,
        "Only for those that are waiting or scheduled or stuck or parked"
    );
    toggle("published").await?;
    assert_eq!(offered().await?, json!([["Retry…", "Discard…"], "1 selected (1 stuck):"]));
    tab.press("Retry…").await?;
    tab.see("Retry 1 event?").await?;
    tab.no_errors().await
}

#[tokio::test]
async fn filters_are_folded_on_a_phone_until_they_are_asked_for() -> Tested {
    let opened = Opened::with(Hands::Mouse, Scripts::Off).await?;
    let tab = &opened.tab;
    let is_open = async || {
        let form = tab.client.find(Locator::Css("main .filter")).await?;
        anyhow::Ok(form.is_displayed().await?)
    };
    for page in ["/events", "/audit"] {
        tab.show_as(Media::Light).await?;
        tab.open(page).await?;
        ensure!(is_open().await?, "{page}: there is room for it");
        tab.show_as(Media::Narrow).await?;
        ensure!(!is_open().await?, "{page}: it is folded");
        tab.press("Filter").await?;
        ensure!(is_open().await?, "{page}: it was asked for");
    }
    tab.open("/events?type=order.paid").await?;
    ensure!(is_open().await?, "a filter that leaves events out is shown");
    ensure!(opened.console.process.is_running(), "{}", opened.console.process.last_lines());
    Ok(())
}

/// The cells of ordinary length that take more than a line, and folded details that are narrow when
/// they are open.
const CRAMPED: &str = "
    const lines = (element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return new Set([...range.getClientRects()].map((box) => Math.round(box.bottom / 8))).size;
    };
    const cells = [...document.querySelectorAll('td:is([data-label=Type], [data-label=Aggregate]) bdi, td summary')];
    const broken = cells.filter((cell) => lines(cell) > 1).map((cell) => cell.textContent);
    for (const details of document.querySelectorAll('td details')) {
        details.open = true;
        if (details.clientWidth < 250) broken.push(`details of ${details.clientWidth} pixels`);
    }
    return [cells.length, broken];";

#[tokio::test]
async fn ordinary_names_and_ids_fit_on_a_line() -> Tested {
    let opened = Opened::with(Hands::Mouse, Scripts::On).await?;
    let (tab, event) = (&opened.tab, opened.failed().await?);
    opened.outbox.add("7", "shipment.scheduled").await?;
    let uuids = "UPDATE outbox SET aggregate_id = gen_random_uuid()::text";
    opened.outbox.sql.batch_execute(uuids).await?;
    let actor = "release-manager@example.com";
    let retry =
        ["retry", &event, "--actor", actor, "--reason", "the queue is bound again, at last"];
    ensure!(opened.outbox.command(&retry).await?.code == Some(0), "it is retried");
    tab.show_as(Media::Light).await?;
    for page in ["/events", "/audit"] {
        tab.open(page).await?;
        let found = tab.run(CRAMPED, vec![]).await?;
        ensure!(found[0] != 0 && found[1] == json!([]), "{page}: {found}");
    }
    Ok(())
}

/// `\u{e007}` is Enter, `\u{e00c}` Escape.
#[tokio::test]
async fn the_help_takes_the_focus_and_gives_it_back() -> Tested {
    let opened = Opened::with(Hands::Keyboard, Scripts::On).await?;
    let tab = &opened.tab;
    let is_in_help = async || {
        let is_in = "return document.getElementById('help').contains(document.activeElement)";
        anyhow::Ok(tab.run(is_in, vec![]).await? == true)
    };
    tab.open("/events").await?;
    tab.keys("j").await?;
    let row = tab.focused().await?;
    tab.keys("?").await?;
    assert_eq!((tab.focused().await?.as_str(), is_in_help().await?), ("Close", true));
    tab.keys("\u{e00c}").await?;
    assert_eq!((tab.focused().await?, is_in_help().await?), (row.clone(), false));
    // The same key closes it, and so does its button.
    tab.keys("??").await?;
    assert_eq!(tab.focused().await?, row);
    tab.tab_to("Keys").await?;
    tab.keys("\u{e007}").await?;
    ensure!(is_in_help().await?, "{}", tab.focused().await?);
    tab.keys("\u{e007}").await?;
    ensure!(tab.focused().await?.starts_with("Keys"), "{}", tab.focused().await?);
    tab.no_errors().await
}
