//! Dead letters on the pages of the console: that there are some, what to do, and what was done.

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::outbox::{Outbox, eventually};

type Tested = anyhow::Result<()>;

/// Waits until the overview, which looks every ten seconds, has this text.
async fn overview_says(console: &Console, text: &str) -> Tested {
    eventually(text, async || Ok(console.page("/").await?.contains(text))).await
}

#[tokio::test]
async fn the_overview_says_that_dead_letters_are_open() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    desk.add_rows(5, Rows::default()).await?;
    let _relay = outbox.relay_process(&[]).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let sentence = "Events flow, but 5 messages could not be processed by a consumer.";
    overview_says(&console, sentence).await?;
    let page = console.page("/").await?;
    ensure!(
        page.contains("See why") && page.contains("/dead-letters/groups\" class=\"is-bad\">5<")
    );
    desk.sql
        .batch_execute("UPDATE dead_letters SET state = 'discarded', settled_at = now()")
        .await?;
    overview_says(&console, "Events flow. No dead letter is open.").await?;
    desk.sql.batch_execute("BEGIN; LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE").await?;
    overview_says(&console, "They could not be read: ").await?;
    ensure!(console.page("/").await?.contains("Events flow.<"), "the outbox is read still");
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_is_found_by_its_message_id() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    desk.add_rows(2, Rows::default()).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let found = console.get("/search?q=m2").await?;
    assert_eq!(found.headers["location"], "/dead-letters?state=any&message_id=m2");
    let page = console.page("/search?q=m3").await?;
    ensure!(page.contains("Nothing is known as"), "{page}");
    Ok(())
}

#[tokio::test]
async fn what_people_did_to_dead_letters_stands_in_the_audit() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let letters = desk.add_rows(2, Rows::default()).await?;
    let audit =
        "INSERT INTO outbox_audit (actor, action, reason) VALUES ('alice', 'pause', 'later')";
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let mut form = console.form(&format!("/confirm/discard-letters?id={}", letters[0])).await?;
    form.push(("reason".to_owned(), "of a test".to_owned()));
    let ended = console.operate(&form).await?;
    ensure!(ended["state"] == "done", "{ended}");
    outbox.sql.batch_execute(audit).await?;
    let operation = ended["id"].as_str().unwrap_or_default();
    let page = console.page(&format!("/operations/{operation}")).await?;
    let subject = format!("href=\"/dead-letters/{}\">See the dead letter</a>", letters[0]);
    ensure!(page.replace("&#x2f;", "/").contains(&subject), "{page}");
    let rows = page.split("href=\"").find(|link| link.contains("the rows of this operation"));
    let rows = rows.and_then(|link| link.split('"').next()).unwrap_or_default();
    let rows = rows.replace("&amp;", "&");
    ensure!(rows.starts_with("/audit?of=dead_letters&operation="), "{rows}: {page}");
    let link = format!("href=\"/dead-letters/{}\"", letters[0]);
    let page = console.page(&rows).await?;
    ensure!(page.contains(&link) && page.contains("of a test"), "{page}");
    let page = console.page("/audit").await?;
    ensure!(!page.contains(&link) && page.contains("audit?of=dead_letters\""), "{page}");
    let overview = console.json("/").await?;
    let actions = overview["actions"].as_array().into_iter().flatten();
    let actions: Vec<_> = actions.map(|action| action["row"]["action"].as_str()).collect();
    assert_eq!(actions, [Some("pause"), Some("discard")], "the latest first");
    ensure!(console.page("/").await?.contains(&link), "a link to the dead letter");
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_that_died_again_says_so_and_what_helps() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let letters = desk.add_rows(3, Rows::default()).await?;
    let returned = "UPDATE dead_letters SET state = 'returned', settled_at = now() WHERE id = $1";
    desk.sql.execute(returned, &[&letters[0]]).await?;
    let died = "UPDATE dead_letters SET earlier_id = $1, returns = 1 WHERE id = $2";
    desk.sql.execute(died, &[&letters[0], &letters[1]]).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let page = async |id: i64| console.page(&format!("/dead-letters/{id}")).await;
    let again = format!("<a href=\"/dead-letters/{}\">dead letter", letters[1]);
    let first = page(letters[0]).await?;
    ensure!(first.contains("Died again, as") && first.contains(&again), "{first}");
    let second = page(letters[1]).await?;
    ensure!(second.contains("It was returned once and died of the same cause"), "{second}");
    ensure!(second.contains("class=\"button is-main\" href=\"/confirm/edit-letter"), "{second}");
    let third = page(letters[2]).await?;
    ensure!(third.contains("Return it only after its consumer or the message was mended"));
    ensure!(!third.contains("button is-main"), "which of them helps is not known: {third}");
    let shown = desk.command(&["show", &letters[0].to_string()]).await?.out;
    ensure!(shown.contains(&format!("as dead letter {}", letters[1])), "{shown}");
    Ok(())
}

#[tokio::test]
async fn what_a_message_says_stands_in_the_list_and_where_it_is_discarded() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let letters = desk.add_rows(3, Rows::default()).await?;
    for (id, body) in letters.iter().zip(["{\"amount\": 7}", "\\xff00", "long"]) {
        let fill = "UPDATE dead_letters
                    SET body = CASE $2::text WHEN 'long' THEN convert_to(repeat('long ', 300), 'UTF8')
                                             WHEN '\\xff00' THEN '\\xff00' ELSE convert_to($2, 'UTF8') END
                    WHERE id = $1";
        desk.sql.execute(fill, &[id, &body]).await?;
    }
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    for path in ["/dead-letters".to_owned(), format!("/confirm/discard-letters?id={}", letters[0])]
    {
        let page = console.page(&path).await?.replace("&quot;", "\"").replace("&#34;", "\"");
        ensure!(page.contains("Body: <bdi>{\"amount\": 7}</bdi>"), "{path}: {page}");
        assert_eq!(page.matches("Body: ").count(), 1, "no bytes, and nothing long: {page}");
    }
    Ok(())
}
