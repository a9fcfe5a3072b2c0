//! The button that a page of the console makes its first one: what helps, in the state that is shown.

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::{Outbox, eventually};
use uuid::Uuid;

type Tested = anyhow::Result<()>;

/// The texts of the buttons that a page makes its first one.
fn main_buttons(page: &str) -> Vec<&str> {
    let buttons = page.split("class=\"button is-main\"").skip(1);
    buttons.filter_map(|rest| rest.split(['>', '<']).nth(1)).collect()
}

async fn event_of(outbox: &Outbox, fingerprint: &str) -> anyhow::Result<Uuid> {
    let event = "SELECT event_id FROM outbox WHERE error_fingerprint = $1 LIMIT 1";
    Ok(outbox.sql.query_one(event, &[&fingerprint]).await?.get(0))
}

#[tokio::test]
async fn what_a_retry_can_not_mend_is_edited_first() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["unpublishable", TOO_LONG], 1).await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 2).await?;
    let wrong = event_of(&outbox, TOO_LONG).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let (event, cause) = (format!("/events/{wrong}"), format!("/failures/{TOO_LONG}"));
    for path in [&event, &cause] {
        let page = console.page(path).await?;
        assert_eq!(main_buttons(&page), ["Edit…"], "{path}: {page}");
    }
    let headers = "UPDATE outbox SET last_error = 'the headers are an array' WHERE event_id = $1";
    outbox.sql.execute(headers, &[&wrong]).await?;
    for path in [&event, &cause] {
        let page = console.page(path).await?;
        assert_eq!(main_buttons(&page), ["Edit headers…"], "{path}: {page}");
    }
    let form = console.page(&format!("/confirm/edit-headers?event_id={wrong}&retry=true")).await?;
    ensure!(form.contains("name=\"retry\" value=\"true\" checked"), "{form}");
    ensure!(console.page(&event).await?.contains("retry=true"), "it is stuck: retried as well");
    let page = console.page(&format!("/failures/{NO_QUEUE}")).await?;
    assert_eq!(main_buttons(&page), ["Retry all of this cause…"], "{page}");
    Ok(())
}

#[tokio::test]
async fn an_event_that_waits_leads_to_the_one_that_holds_it_back() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.add("7", "order.created").await?;
    let fail = "UPDATE outbox SET attempts = 1, next_attempt_at = 'infinity', last_error = 'x',
                       error_kind = 'returned', error_fingerprint = $1";
    outbox.sql.execute(fail, &[&NO_QUEUE]).await?;
    outbox.add("7", "order.paid").await?;
    let behind = "SELECT event_id FROM outbox WHERE attempts = 0";
    let behind: Uuid = outbox.sql.query_one(behind, &[]).await?.get(0);
    let console = Console::start(&outbox, None, &[]).await?;
    let page = console.page(&format!("/events/{behind}")).await?;
    assert_eq!(main_buttons(&page), ["Go to the event that holds it back"], "{page}");
    let first = event_of(&outbox, NO_QUEUE).await?;
    ensure!(page.contains(&format!("class=\"button is-main\" href=\"/events/{first}\"")), "{page}");
    let page = console.page("/").await?;
    ensure!(page.contains(">1 stuck<") && page.contains(">1 behind<"), "{page}");
    Ok(())
}

#[tokio::test]
async fn what_no_consumer_reports_is_not_said_to_be_delivered() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.add("7", "order.created").await?;
    outbox.sql.batch_execute("UPDATE outbox SET published_at = now()").await?;
    let event: Uuid = outbox.sql.query_one("SELECT event_id FROM outbox", &[]).await?.get(0);
    let console = Console::start(&outbox, None, &[]).await?;
    for path in [format!("/events/{event}"), "/aggregates/order/7".to_owned()] {
        let page = console.page(&path).await?;
        ensure!(page.contains("published</span>; no consumer reports back"), "{path}: {page}");
        ensure!(!page.contains("state-delivered"), "{path}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn the_words_of_the_pages_are_explained() -> Tested {
    let console = Console::start(&Outbox::new().await?, None, &[]).await?;
    let page = console.page("/about").await?;
    for word in ["Aggregate", "Lane", "Stuck", "Waiting", "Behind", "Scheduled", "Parked"] {
        ensure!(page.contains(&format!("<dt>{word}</dt>")), "{word}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_selected_in_one_state_is_offered_what_applies_to_it() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    outbox.add("7", "order.created").await?;
    outbox.sql.batch_execute("UPDATE outbox SET published_at = now() WHERE attempts = 0").await?;
    desk.add_rows(2, Rows::default()).await?;
    let discard = "UPDATE dead_letters SET state = 'discarded', settled_at = now() WHERE id = (SELECT min(id) FROM dead_letters)";
    desk.sql.batch_execute(discard).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    for (path, offered) in [
        ("/events?state=published", &["replay"][..]),
        ("/events?state=stuck", &["retry", "discard"]),
        ("/events", &["retry", "discard", "replay"]),
        ("/dead-letters", &["return", "discard-letters"]),
        ("/dead-letters?state=discarded", &["forget-letters"]),
        ("/dead-letters?state=any", &["return", "discard-letters"]),
    ] {
        let page = console.page(path).await?;
        let actions = page.split("formaction=\"/confirm/").skip(1);
        let actions: Vec<_> = actions.filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(actions, offered, "{path}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn contents_are_forgotten_in_the_same_words_from_the_button_to_the_result() -> Tested {
    let outbox = Outbox::new().await?;
    outbox.add("7", "order.created").await?;
    let event: Uuid = outbox.sql.query_one("SELECT event_id FROM outbox", &[]).await?.get(0);
    let discard = ["discard", &event.to_string(), "--reason", "x"];
    ensure!(outbox.command(&discard).await?.code == Some(0), "its copy is kept");
    let console = Console::start(&outbox, None, &[]).await?;
    let page = console.page(&format!("/events/{event}")).await?;
    ensure!(page.contains(">Forget contents…<"), "{page}");
    let confirm = format!("/confirm/forget?event_id={event}");
    let page = console.page(&confirm).await?;
    assert_eq!(page.matches("Forget the contents of 1 event").count(), 3, "{page}");
    let mut form = console.form(&confirm).await?;
    form.push(("reason".to_owned(), "request 4711".to_owned()));
    assert_eq!(console.operate(&form).await?["what"], "Forget the contents of 1 event");
    let page = console.page(&format!("/events/{event}")).await?;
    ensure!(page.contains("Its contents were forgotten."), "{page}");
    Ok(())
}

#[tokio::test]
async fn what_the_database_does_not_tell_of_relays_has_no_column() -> Tested {
    let outbox = Outbox::new().await?;
    let _relay = outbox.relay_process(&[]).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    eventually("it is at work", async || Ok(console.page("/relays").await?.contains("PID")))
        .await?;
    let page = console.page("/relays").await?;
    ensure!(!page.contains(">From<") && !page.contains(">Connected<"), "{page}");
    // As the owner of the relay's sessions the console sees them.
    let own = [("DATABASE_URL", outbox.database.url.as_str()), ("CONSOLE_WITHOUT_ROLES", "true")];
    let console = Console::start(&outbox, None, &own).await?;
    let page = console.page("/relays").await?;
    ensure!(
        page.contains(">Connected<") && page.contains("data-label=\"Connected\"><time"),
        "{page}"
    );
    Ok(())
}
