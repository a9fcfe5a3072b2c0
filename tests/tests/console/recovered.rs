//! What has recovered after somebody mended it, and what is left of its cause.

use anyhow::{Context as _, ensure};
use pipeline_tests::console::Console;
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::outbox::Outbox;
use pipeline_tests::rows_read::{rows_read, sequential_scans};
use serde_json::{Value, json};

type Tested = anyhow::Result<()>;

/// Publishes what is due.
const PUBLISH: &str = "UPDATE outbox SET published_at = now(), next_attempt_at = NULL
                       WHERE next_attempt_at <= now()";

/// The ids of the events that failed, the oldest first.
async fn failed(outbox: &Outbox) -> anyhow::Result<Vec<String>> {
    let ids = "SELECT event_id::text FROM outbox WHERE published_at IS NULL ORDER BY id";
    Ok(outbox.sql.query(ids, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Retries one event, and returns how that stands.
async fn retry(console: &Console, event_id: &str) -> anyhow::Result<Value> {
    console.operate(&console.form(&format!("/confirm/retry?event_id={event_id}")).await?).await
}

#[tokio::test]
async fn a_cause_that_ended_is_said_to_have_recovered_if_somebody_mended_it() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.paid", ["returned", NO_QUEUE], 3).await?;
    add_failed(&outbox, "order.shipped", ["nacked", TOO_LONG], 2).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let cause = format!("/failures/{NO_QUEUE}?kind=returned&type=order.paid");
    ensure!(!console.page("/").await?.contains("Published again"), "nobody has mended anything");
    let events = failed(&outbox).await?;
    let two = ["retry", &events[0], &events[1], "--reason", "the queue is bound"];
    ensure!(outbox.command(&two).await?.code == Some(0), "they are retried");
    // It counts when it is published.
    let listed = outbox.command(&["failures", "--recovered", "--json"]).await?.json()?;
    assert_eq!(listed, json!({ "recovered": [] }));
    outbox.sql.batch_execute(PUBLISH).await?;
    let page = console.page(&cause).await?;
    ensure!(page.contains("Published again in the last hour: 2 events"), "{page}");
    ensure!(page.contains("Retry all of this cause"), "the third one still fails: {page}");

    // What nobody has mended, and what was published long ago, is not among them.
    let others = "UPDATE outbox SET published_at = now(), next_attempt_at = NULL WHERE event_type = 'order.shipped';
                  UPDATE outbox SET published_at = now() - interval '61 min' WHERE event_id = (
                      SELECT min(event_id::text)::uuid FROM outbox WHERE event_type = 'order.paid' AND published_at IS NOT NULL)";
    outbox.sql.batch_execute(others).await?;
    let listed = outbox.command(&["failures", "--recovered", "--json"]).await?.json()?;
    let recovered = &listed["recovered"];
    let [group] = recovered.as_array().context("a list")?.as_slice() else {
        anyhow::bail!("{listed}");
    };
    assert_eq!(
        (&group["fingerprint"], &group["events"], &group["is_over"], &group["is_capped"]),
        (&json!(NO_QUEUE), &json!(1), &json!(false), &json!(false))
    );
    assert_eq!(group["cause"], "the reason of …");
    let printed = outbox.command(&["failures", "--recovered"]).await?.out;
    ensure!(printed.contains("1 event of order.paid: returned"), "{printed}");
    ensure!(printed.contains("others still fail"), "{printed}");

    retry(&console, &events[2]).await?;
    outbox.sql.batch_execute(PUBLISH).await?;
    // A console of its own, as what is shown is up to ten seconds old.
    let console = Console::start(&outbox, None, &[]).await?;
    let page = console.page("/").await?;
    ensure!(page.contains("Published again in the last hour"), "{page}");
    ensure!(page.contains("the reason of …"), "{page}");
    ensure!(!page.contains("others still fail"), "{page}");
    let page = console.page(&cause).await?;
    ensure!(page.contains("No event has this cause now"), "{page}");
    ensure!(page.contains("Published again in the last hour: 2 events"), "{page}");
    Ok(())
}

#[tokio::test]
async fn a_look_at_what_recovered_reads_little_however_much_was_mended() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.paid", ["returned", NO_QUEUE], 20_000).await?;
    outbox.sql.batch_execute("UPDATE outbox SET next_attempt_at = now()").await?;
    outbox.sql.batch_execute(PUBLISH).await?;
    let audit = "INSERT INTO outbox_audit (actor, action, event_id) SELECT 'alice', 'retry', event_id FROM outbox";
    outbox.sql.batch_execute(audit).await?;
    // Index entries of rows that are gone would be counted, too. Statistics are not collected.
    outbox.sql.batch_execute("VACUUM outbox").await?;
    let before =
        (rows_read(&outbox.sql, "outbox").await?, sequential_scans(&outbox.sql, "outbox").await?);
    let listed = outbox.command(&["failures", "--recovered", "--json"]).await?.json()?;
    assert_eq!(
        (&listed["recovered"][0]["events"], &listed["recovered"][0]["is_capped"]),
        (&json!(2000), &json!(true))
    );
    let read = rows_read(&outbox.sql, "outbox").await? - before.0;
    ensure!((2000..=2100).contains(&read), "{read} rows were read");
    assert_eq!(sequential_scans(&outbox.sql, "outbox").await?, before.1);
    Ok(())
}

#[tokio::test]
async fn after_one_event_of_a_cause_the_next_one_is_a_click_away() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.paid", ["returned", NO_QUEUE], 3).await?;
    add_failed(&outbox, "order.paid", ["nacked", NO_QUEUE], 1).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    let events = failed(&outbox).await?;
    // From the second on: those before it come last.
    for (event, next, left) in [(1, Some(2), 2), (2, Some(0), 1), (0, None, 0)] {
        let ended = retry(&console, &events[event]).await?;
        let path = format!("/operations/{}", ended["id"].as_str().unwrap_or_default());
        let page = console.page(&path).await?;
        let expected = json!({
            "event_id": next.map(|next: usize| &events[next]), "edit": null, "left": left,
            "is_capped": false,
        });
        assert_eq!(ended["next_of_cause"], expected, "{ended}");
        let Some(next) = next else {
            ensure!(page.contains("No other event fails of its cause now."), "{page}");
            continue;
        };
        let link =
            format!("href=\"/events/{}\">Next event of this cause ({left} left)", events[next]);
        ensure!(page.contains(&link), "{page}");
    }
    let form = console.form(&format!("/confirm/edit?event_id={}", events[3])).await?;
    let form = form.into_iter().filter(|(name, _)| name != "payload");
    let more = [("payload", "{\"n\": 1}"), ("reason", "a wrong number")];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ended = console.operate(&form.chain(more).collect::<Vec<_>>()).await?;
    assert_eq!(ended["next_of_cause"]["left"], 0, "{ended}");

    // The same headers are proposed for the next one.
    add_failed(&outbox, "order.late", ["nacked", TOO_LONG], 2).await?;
    let late = failed(&outbox).await?.split_off(4);
    let first = format!("/confirm/edit-headers?event_id={}&back=/failures", late[0]);
    let form = console.form(&first).await?.into_iter().filter(|(name, _)| name != "headers");
    let more = [("headers", "{\"region\": \"eu\"}"), ("reason", "they were wrong & late")];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ended = console.operate(&form.chain(more).collect::<Vec<_>>()).await?;
    let edit = ended["next_of_cause"]["edit"].as_str().context("a page")?;
    ensure!(edit.contains(&late[1]), "{edit}");
    let form = console.form(edit).await?;
    let value = |name: &str| form.iter().find(|field| field.0 == name).map(|field| &*field.1);
    let page = console.page(edit).await?;
    ensure!(page.contains("&quot;region&quot;: &quot;eu&quot;"), "{page}");
    ensure!(page.contains("the headers of the event that was mended before"), "{page}");
    ensure!(page.contains("value=\"they were wrong &amp; late\""), "{page}");
    assert_eq!(
        (value("event_id"), value("back"), value("original_headers")),
        (Some(&*late[1]), Some("/failures"), Some("{}"))
    );

    // Neither an event that never failed, nor many at once, have a next one.
    outbox.add("7", "order.created").await?;
    let all = console.operate(&console.form("/confirm/retry?kind=nacked").await?).await?;
    ensure!(all["state"] == "done" && all.get("next_of_cause").is_none(), "{all}");
    Ok(())
}

#[tokio::test]
async fn the_page_of_a_cause_has_its_figures_among_very_many_causes() -> Tested {
    let outbox = Outbox::new().await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 600).await?;
    let number = "UPDATE outbox SET error_fingerprint = lpad(to_hex(id), 16, '0')";
    outbox.sql.batch_execute(number).await?;
    let last = "ffffffffffffffff";
    add_failed(&outbox, "order.created", ["returned", last], 3).await?;
    add_failed(&outbox, "order.paid", ["unpublishable", last], 2).await?;
    let console = Console::start(&outbox, None, &[]).await?;
    for (query, events) in [("", 3), ("?kind=returned", 3), ("?kind=unpublishable", 2)] {
        let page = console.json(&format!("/failures/{last}{query}")).await?;
        assert_eq!(page["group"]["events"], events, "{query}: {page}");
    }
    let listed = outbox.command(&["failures", "--fingerprint", last, "--json"]).await?.json()?;
    assert_eq!(listed["failures"].as_array().map(Vec::len), Some(2), "{listed}");
    Ok(())
}
