//! The story of somebody who was woken at three: what is stuck is found, understood and mended in a
//! browser, by mouse, by keyboard alone, and with JavaScript turned off.

use anyhow::ensure;
use pipeline_tests::browser::{Browser, Hands, Scripts, Tab};
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::{HOME, Rows};
use pipeline_tests::outbox::{Outbox, eventually};
use stack::Service;

type Tested = anyhow::Result<()>;

/// What a person does in two minutes who looks at each page for four seconds.
const TWO_MINUTES: usize = 30;

/// Events that no queue is bound for, that have wrong headers, and that have a wrong priority.
const EVENTS: &str = r#"
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT 'order', 'unheard-' || i, 'order.paid', '{}'::jsonb, '{}'::jsonb FROM generate_series(1, 40) AS i
    UNION ALL SELECT 'order', 'headers', 'order.created', '{}', '[]'
    UNION ALL SELECT 'order', 'priority-' || i, 'order.created', '{}', '{"amqp-priority": 999}' FROM generate_series(1, 3) AS i"#;

/// And those after them, which wait behind them.
const BEHIND: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    SELECT 'order', aggregate_id, 'order.created', '{}' FROM outbox";

const STUCK: &str = "SELECT count(*) FROM outbox WHERE next_attempt_at = 'infinity'";

/// The bad deployment.
struct Night {
    outbox: Outbox,
    desk: DeadLetterQueue,
    console: Console,
    relay: Service,
}

impl Night {
    async fn begin() -> anyhow::Result<Self> {
        let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
        outbox.queue("all", "order.created").await?;
        outbox.sql.batch_execute(EVENTS).await?;
        outbox.sql.batch_execute(BEHIND).await?;
        desk.add_rows(2, Rows::default()).await?;
        let relay = outbox.relay_process(&[("RELAY_MAX_ATTEMPTS", "1")]).await?;
        eventually("44 are stuck", async || Ok(outbox.count(STUCK, &[]).await? == 44)).await?;
        let console = Console::start(&outbox, Some(&desk), &[]).await?;
        Ok(Self { outbox, desk, console, relay })
    }

    /// What the person does.
    async fn is_mended_in(&self, tab: &Tab) -> Tested {
        tab.open("/").await?;
        // Is something wrong, since when, what do I do?
        tab.see("44 events are stuck: the relays have given up.").await?;
        tab.see("It began").await?;
        tab.press("Find the cause").await?;

        // The first cause says what fixes it: somebody binds a queue.
        tab.see("3 groups, the stuck ones first").await?;
        tab.press("no queue is bound").await?;
        tab.see("What usually fixes it").await?;
        self.outbox.bind("all", "order.paid").await?;
        tab.press("Retry all of this cause").await?;
        tab.see("Retry 40 events?").await?;
        tab.fill("Reason", "the queue is bound now").await?;
        tab.press("Retry 40 events").await?;
        tab.see("Done. 40 matched, 40 retried.").await?;
        tab.press("Back to where you were").await?;
        tab.reload_until("No event has this cause now").await?;

        // Wrong headers, of one event: they are edited, and it is retried.
        tab.press("Failures").await?;
        tab.press("the headers are an array").await?;
        tab.press(&short(&self.event_of("headers").await?)).await?;
        tab.see("Given up by the relays: a person decides").await?;
        tab.press("Edit headers").await?;
        assert_eq!(tab.value("Headers, as JSON").await?, "[]");
        tab.fill("Headers, as JSON", r#"{"number": 1}"#).await?;
        ensure!(tab.is_checked("Retry it as well").await?, "it is stuck");
        tab.fill("Reason", "an array by mistake").await?;
        tab.press("Edit the headers of 1 event").await?;
        tab.see("Done.").await?;

        // Wrong priorities: those orders were tests.
        tab.press("Failures").await?;
        tab.press("the header ").await?;
        tab.press("Discard all of this cause").await?;
        tab.see("Discard 3 events?").await?;
        tab.fill("Reason", "orders of a test").await?;
        tab.press("Discard 3 events").await?;
        tab.see("Done. 3 matched, 3 discarded.").await?;

        // What a consumer could not process goes back to it.
        tab.press("Dead letters").await?;
        tab.press("The open ones by cause").await?;
        tab.press("Return").await?;
        tab.see("Return 2 dead letters?").await?;
        tab.press("Return 2 dead letters").await?;
        tab.see("Done. 2 matched, 2 returned.").await?;

        tab.press("Overview").await?;
        tab.reload_until("Events flow.").await?;
        ensure!(tab.steps() <= TWO_MINUTES, "it takes {} steps", tab.steps());
        Ok(())
    }

    /// The stuck event of an aggregate.
    async fn event_of(&self, aggregate: &str) -> anyhow::Result<String> {
        let event = "SELECT event_id::text FROM outbox WHERE aggregate_id = $1 AND next_attempt_at = 'infinity'";
        Ok(self.outbox.sql.query_one(event, &[&aggregate]).await?.get(0))
    }

    /// What it looks like for the consumers, and for who asks what was done.
    async fn is_over(&self) -> Tested {
        self.outbox.all_published().await?;
        // 40 that no queue was bound for, 1 with wrong headers, and the 44 behind the stuck ones.
        assert_eq!(self.outbox.take_all("all").await?.len(), 85);
        let returned = self.desk.deliveries(HOME).await?;
        ensure!(returned.len() == 2 && returned.values().all(|times| *times == 1), "{returned:?}");
        let audit = "SELECT action, count(*), min(reason) FROM outbox_audit GROUP BY 1 ORDER BY 1";
        let rows = self.outbox.sql.query(audit, &[]).await?;
        let audit: Vec<(String, i64, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        let expected = [
            ("discard", 3, "orders of a test"),
            ("edit", 1, "an array by mistake"),
            ("retry", 40, "the queue is bound now"),
        ];
        let expected =
            expected.map(|(action, rows, why)| (action.to_owned(), rows, why.to_owned()));
        assert_eq!(audit, expected);
        ensure!(self.relay.is_running(), "{}", self.relay.last_lines());
        Ok(())
    }
}

/// An event_id as tables show it.
fn short(event_id: &str) -> String {
    format!("{}…{}", &event_id[..8], &event_id[event_id.len() - 4..])
}

async fn told(hands: Hands, scripts: Scripts) -> Tested {
    let night = Night::begin().await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&night.console.url, hands, scripts).await?;
    tab.open("/").await?;
    // The button that the script shows.
    assert_eq!(tab.text().await?.contains("Keys"), scripts == Scripts::On);
    night.is_mended_in(&tab).await?;
    tab.no_errors().await?;
    night.is_over().await
}

#[tokio::test]
async fn by_mouse() -> Tested {
    told(Hands::Mouse, Scripts::On).await
}

#[tokio::test]
async fn by_keyboard_alone() -> Tested {
    told(Hands::Keyboard, Scripts::On).await
}

#[tokio::test]
async fn without_javascript() -> Tested {
    told(Hands::Mouse, Scripts::Off).await
}

/// `\u{e007}` is Enter, `\u{e00c}` Escape.
#[tokio::test]
async fn by_the_consoles_own_keys() -> Tested {
    let night = Night::begin().await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&night.console.url, Hands::Keyboard, Scripts::On).await?;
    tab.open("/").await?;
    tab.keys("?").await?;
    tab.see("to the next or previous row").await?;
    tab.keys("\u{e00c}").await?;
    tab.keys("gf").await?;
    tab.see("3 groups, the stuck ones first").await?;
    tab.keys("jj").await?;
    ensure!(tab.focused().await?.starts_with('3'), "the second row: {}", tab.focused().await?);
    tab.keys("k\u{e007}").await?;
    tab.see("What usually fixes it").await?;
    // The row is selected and retried, nothing else.
    tab.keys("jxr").await?;
    tab.see("Retry 1 event?").await?;
    // In a field they are text.
    tab.fill("Reason", "/jxr?g f").await?;
    assert_eq!(tab.value("Reason").await?, "/jxr?g f");
    tab.keys("\u{e007}").await?;
    tab.see("Done.").await?;
    let reason = "SELECT count(*) FROM outbox_audit WHERE reason = '/jxr?g f'";
    assert_eq!(night.outbox.count(reason, &[]).await?, 1);
    tab.keys("ge").await?;
    tab.see("on this page").await?;
    tab.keys("/headers\u{e007}").await?;
    tab.see("Aggregate id").await?;
    assert!(tab.path().await?.starts_with("/events?aggregate=headers"), "{}", tab.path().await?);
    tab.no_errors().await
}
