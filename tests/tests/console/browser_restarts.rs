//! Two tabs that do the same at once, and pages that are left open while the console, PostgreSQL or
//! RabbitMQ is restarted: clear words, and nothing is done twice.

use anyhow::{Context as _, ensure};
use fantoccini::wd::WindowHandle;
use pipeline_tests::browser::{Browser, Hands, Scripts, Tab};
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::{HOME, Rows};
use pipeline_tests::failed_events::{NO_QUEUE, add_failed};
use pipeline_tests::outbox::{Outbox, PATIENCE, connect, eventually};
use stack::{PostgresServer, RabbitServer};

type Tested = anyhow::Result<()>;

const RETRIED: &str = "SELECT count(*) FROM outbox_audit WHERE action = 'retry'";

/// Opens a page in two tabs of one browser, and presses the same in both.
async fn press_in_two_tabs(
    tab: &Tab,
    page: &str,
    label: &str,
) -> anyhow::Result<[WindowHandle; 2]> {
    let first = tab.client.window().await?;
    let second = tab.client.new_window(true).await?.handle;
    let both = [first, second];
    for one in &both {
        tab.client.switch_to_window(one.clone()).await?;
        tab.open(page).await?;
    }
    for one in &both {
        tab.client.switch_to_window(one.clone()).await?;
        tab.press(label).await?;
    }
    Ok(both)
}

/// What the pages of two operations say when both have ended.
async fn ended(tab: &Tab, both: [WindowHandle; 2]) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    for one in both {
        tab.client.switch_to_window(one).await?;
        tab.see("Back to where you were").await?;
        let mut text = String::new();
        eventually("it has ended", async || {
            text = tab.text().await?;
            Ok(!text.contains("looks again every two seconds"))
        })
        .await
        .with_context(|| text.clone())?;
        said.push(text);
    }
    said.sort_by_key(|text| !text.contains("Done."));
    Ok(said)
}

#[tokio::test]
async fn two_tabs_retry_the_same_group_once() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 30).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    // Neither can go on before both have begun.
    let locker = connect(&outbox.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE MODE").await?;
    let page = format!("/confirm/retry?fingerprint={NO_QUEUE}");
    let both = press_in_two_tabs(&tab, &page, "Retry 30 events").await?;
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = 'outbox command retry' AND wait_event_type = 'Lock' AND datname = current_database()";
    eventually("both wait", async || Ok(outbox.count(waits, &[]).await? == 2)).await?;
    locker.batch_execute("ROLLBACK").await?;
    let said = ended(&tab, both).await?;
    ensure!(said[0].contains("Done. 30 matched, 30 retried."), "{}", said[0]);
    ensure!(said[1].contains("Nothing was changed. 30 matched."), "{}", said[1]);
    assert_eq!(outbox.count(RETRIED, &[]).await?, 30);
    tab.no_errors().await
}

#[tokio::test]
async fn two_tabs_return_the_same_dead_letters_once() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    desk.add_rows(20, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    let locker = connect(&desk.database.url).await?;
    locker.batch_execute("BEGIN; LOCK TABLE dead_letters IN SHARE MODE").await?;
    let both =
        press_in_two_tabs(&tab, "/confirm/return?kind=failed", "Return 20 dead letters").await?;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually("both wait", async || Ok(desk.count(waits).await? == 2)).await?;
    locker.batch_execute("ROLLBACK").await?;
    let said = ended(&tab, both).await?;
    ensure!(said[0].contains("Done."), "{}", said[0]);
    let returned = desk.deliveries(HOME).await?;
    ensure!(returned.len() == 20 && returned.values().all(|times| *times == 1), "{returned:?}");
    // Each says how many it was that returned them.
    let numbers = said.iter().map(|text| match text.split("20 matched, ").nth(1) {
        Some(rest) => rest.split(' ').next().unwrap_or_default().parse::<usize>(),
        None => Ok(0),
    });
    let sum: usize = numbers.sum::<Result<_, _>>()?;
    ensure!(sum == 20, "{said:#?}");
    tab.no_errors().await
}

#[tokio::test]
async fn pages_that_are_left_open_over_a_restart_of_the_console() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 30).await?;
    let address = format!("127.0.0.1:{}", stack::free_port()?);
    let settings = [("CONSOLE_ADDR", address.as_str())];
    let console = Console::start(&outbox, None, &settings).await?;
    let browser = Browser::start().await?;
    let list = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    let form = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    list.open("/failures").await?;
    list.see("1 group").await?;
    form.open(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;

    console.process.sigkill()?;
    console.process.wait_exit(PATIENCE).await?;
    list.see("The console does not answer: this page may be out of date.").await?;
    form.see("The console does not answer: this page may be out of date.").await?;
    add_failed(&outbox, "order.shipped", ["returned", "00000000000000cc"], 1).await?;
    let console = Console::start(&outbox, None, &settings).await?;
    // The list is drawn anew by itself; the form is left as it is, and does what it says.
    list.see("2 groups").await?;
    eventually("all is well", async || {
        Ok(!list.text().await?.contains("The console does not answer"))
    })
    .await?;
    form.fill("Reason", "the queue is bound").await?;
    form.press("Retry 30 events").await?;
    form.see("Done. 30 matched, 30 retried.").await?;
    assert_eq!(outbox.count(RETRIED, &[]).await?, 30);

    // The page of an operation that this process does not know, and its form once more.
    console.process.sigkill()?;
    console.process.wait_exit(PATIENCE).await?;
    let _console = Console::start(&outbox, None, &settings).await?;
    form.client.refresh().await?;
    form.see("it was restarted since, or has forgotten it. The audit page has what was done.")
        .await?;
    form.client.back().await?;
    form.see("Retry 30 events").await?;
    form.press("Retry 30 events").await?;
    form.see("Nothing was changed. 30 matched. 30 were not changed: see below.").await?;
    assert_eq!(outbox.count(RETRIED, &[]).await?, 30);
    Ok(())
}

#[tokio::test]
async fn pages_that_are_left_open_over_a_restart_of_postgresql() -> Tested {
    let mut postgres = PostgresServer::start_temporary().await?;
    let vhost = stack::shared().await?.vhost("outbox").await?;
    let mut outbox = Outbox::on(postgres.database("outbox").await?, vhost).await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 30).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let browser = Browser::start().await?;
    let list = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    let form = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    list.open("/failures").await?;
    list.see("1 group").await?;
    form.open(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;

    postgres.stop_immediately().await?;
    list.see("The console can't read what is new: this page may be out of date.").await?;
    form.press("Retry 30 events").await?;
    form.see("the database can't be reached").await?;
    form.see("Nothing was changed").await?;
    postgres.start().await?;
    outbox.reconnect().await?;
    add_failed(&outbox, "order.shipped", ["returned", "00000000000000cc"], 1).await?;
    list.see("2 groups").await?;
    // What failed is tried again from a form of its own.
    form.press("Back to where you were").await?;
    form.open(&format!("/confirm/retry?fingerprint={NO_QUEUE}")).await?;
    form.press("Retry 30 events").await?;
    form.see("Done. 30 matched, 30 retried.").await?;
    assert_eq!(outbox.count(RETRIED, &[]).await?, 30);
    Ok(())
}

#[tokio::test]
async fn pages_that_are_left_open_over_a_restart_of_rabbitmq() -> Tested {
    let mut rabbitmq = RabbitServer::start_temporary().await?;
    let outbox = Outbox::new().await?;
    let database = stack::shared().await?.database("desk").await?;
    let mut desk = DeadLetterQueue::desk_on(database, rabbitmq.vhost("desk").await?).await?;
    // RabbitMQ 3.10 persists the registration of a new quorum queue only after half a second: a
    // crash before that loses the queue, which is not tested here. A clean stop persists it.
    rabbitmq.stop_gracefully().await?;
    rabbitmq.start().await?;
    desk.reconnect().await?;
    desk.add_rows(3, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&console.url, Hands::Mouse, Scripts::On).await?;
    tab.open("/confirm/return?kind=failed").await?;

    rabbitmq.kill().await?;
    tab.press("Return 3 dead letters").await?;
    tab.see("the broker can't be used, and nothing was changed").await?;
    tab.see("Nothing was changed").await?;
    tab.open("/dead-letters").await?;
    tab.see("3 dead letters on this page").await?;
    rabbitmq.start().await?;
    desk.reconnect().await?;
    tab.open("/confirm/return?kind=failed").await?;
    tab.press("Return 3 dead letters").await?;
    tab.see("Done.").await?;
    let returned = desk.deliveries(HOME).await?;
    ensure!(returned.len() == 3 && returned.values().all(|times| *times == 1), "{returned:?}");
    Ok(())
}
