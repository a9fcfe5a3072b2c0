//! The console's webhook: what is new is posted once, tried again, and holds up nothing.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::metrics::{metrics, shows};
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::silent_server::SilentServer;
use pipeline_tests::tcp_server::TcpServer;
use pipeline_tests::temp_folder::TempFolder;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

type Tested = anyhow::Result<()>;

/// What a webhook was sent: headers in lower case, and the body.
type Posted = Arc<Mutex<Vec<(String, Value)>>>;

/// A webhook that answers the first `failures` posts with 500.
fn webhook(failures: usize) -> anyhow::Result<(TcpServer, Posted)> {
    let posted = Posted::default();
    let seen = Arc::clone(&posted);
    let server = TcpServer::start(move |client| serve(client, Arc::clone(&seen), failures))?;
    Ok((server, posted))
}

async fn serve(client: TcpStream, posted: Posted, failures: usize) -> Tested {
    let mut client = BufReader::new(client);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if client.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await?;
        let count = {
            let mut posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
            posted.push((head, serde_json::from_slice(&body)?));
            posted.len()
        };
        let status = if count <= failures { "500 no" } else { "204 yes" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        client.write_all(answer.as_bytes()).await?;
    }
}

fn bodies(posted: &Posted, kind: &str) -> Vec<Value> {
    let posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
    let bodies = posted.iter().map(|(_, body)| body.clone());
    bodies.filter(|body| body["kind"] == kind).collect()
}

/// Starts a console with this webhook, and waits until it knows what is no news.
async fn watching(
    outbox: &Outbox,
    desk: Option<&DeadLetterQueue>,
    settings: &[(&str, &str)],
) -> anyhow::Result<Console> {
    let console = Console::start(outbox, desk, settings).await?;
    console.process.wait_for_line("the webhook is told what is new", PATIENCE).await?;
    Ok(console)
}

#[tokio::test]
async fn what_is_new_is_posted_once_and_a_webhook_that_fails_is_tried_again() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 3).await?;
    desk.add_rows(2, Rows::default()).await?;
    let (server, posted) = webhook(1)?;
    let folder = TempFolder::new()?;
    let token = folder.write("token", "the-token\n")?;
    let url = format!("http://{}/hooks/T0?secret=x", server.address);
    let settings = [
        ("CONSOLE_WEBHOOK_URL", url.as_str()),
        ("CONSOLE_WEBHOOK_TOKEN_FILE", token.as_str()),
        ("CONSOLE_URL", "https://ops.example.com/outbox/"),
        ("CONSOLE_ENVIRONMENT", "production"),
    ];
    let console = watching(&outbox, Some(&desk), &settings).await?;
    add_failed(&outbox, "order.shipped", ["nacked", TOO_LONG], 2).await?;
    desk.add_rows(4, Rows::default()).await?;
    // The first one was refused, and comes again.
    let posted_metric = "outbox_console_notices_total{outcome=\"posted\"} 3";
    shows(&console.process, &[posted_metric]).await?;
    let causes = bodies(&posted, "new_cause");
    let cause = &causes[0];
    assert_eq!((cause["count"].as_i64(), &cause["environment"]), (Some(1), &"production".into()));
    let page = format!("https://ops.example.com/outbox/failures/{TOO_LONG}");
    assert_eq!((&cause["url"], &cause["causes"][0]["url"]), (&page.clone().into(), &page.into()));
    assert_eq!(
        (&cause["causes"][0]["event_type"], &cause["causes"][0]["events"]),
        (&"order.shipped".into(), &2.into())
    );
    let stuck = bodies(&posted, "stuck");
    assert_eq!(stuck.last().map(|body| &body["count"]), Some(&2.into()), "{stuck:?}");
    let letters = bodies(&posted, "dead_letters");
    assert_eq!(letters.last().map(|body| &body["count"]), Some(&4.into()), "{letters:?}");
    let mut all = posted.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(all.len(), 4, "three, and one of them twice: {all:?}");
    assert_eq!(all[0].1, all[1].1, "the one that was refused");
    let (head, _) = all.remove(0);
    ensure!(
        head.starts_with("post /hooks/t0?secret=x ")
            && head.contains("authorization: bearer the-token"),
        "{head}"
    );
    let log = console.process.log();
    ensure!(!log.contains("secret=x") && !log.contains("the-token"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_hangs_holds_up_neither_the_sampler_nor_the_end() -> Tested {
    let outbox = Outbox::new().await?;
    let server = SilentServer::start().await?;
    let url = format!("http://{}/", server.address());
    let console = watching(&outbox, None, &[("CONSOLE_WEBHOOK_URL", url.as_str())]).await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    let late = "the webhook did not take a notice: error sending request: operation timed out";
    console.process.wait_for_line(late, PATIENCE).await?;
    // It is tried again meanwhile, and the overview goes on.
    for events in 2..4 {
        add_failed(&outbox, "order.created", ["returned", &format!("{events:016}")], 1).await?;
        let sampled = async || {
            let status = console.json("").await?["status"].clone();
            Ok(status["backlog"]["stuck"] == events)
        };
        eventually("the sampler has seen it", sampled).await?;
    }
    ensure!(metrics(&console.process).await?.contains("outcome=\"posted\"} 0"), "none is taken");
    console.process.sigterm()?;
    let stopped = console.process.wait_exit(PATIENCE).await?;
    ensure!(stopped.success(), "{stopped}: {}", console.process.log());
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_logged_with_the_cause_and_without_its_address() -> Tested {
    let outbox = Outbox::new().await?;
    let url = ("CONSOLE_WEBHOOK_URL", "http://127.0.0.1:1/hooks/T0-secret");
    let console = watching(&outbox, None, &[url]).await?;
    add_failed(&outbox, "order.created", ["returned", NO_QUEUE], 1).await?;
    let line = console.process.wait_for_line("the webhook did not take", PATIENCE).await?;
    ensure!(line.contains("Connection refused"), "{line}");
    let log = console.process.log();
    ensure!(!log.contains("T0-secret"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_login_and_a_token_for_one_webhook_are_refused_at_the_start() -> Tested {
    let folder = TempFolder::new()?;
    let token = folder.write("token", "the-token\n")?;
    let url = "http://u:hunter2@127.0.0.1:1/";
    let file = folder.write("url", url)?;
    for url in [("CONSOLE_WEBHOOK_URL", url), ("CONSOLE_WEBHOOK_URL_FILE", file.as_str())] {
        let database = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
        let settings = [database, url, ("CONSOLE_WEBHOOK_TOKEN_FILE", token.as_str())];
        let ended = outbox_relay(&["console"], &settings).await?;
        let said = "error: CONSOLE_WEBHOOK_URL has a login, and CONSOLE_WEBHOOK_TOKEN_FILE a token: a post carries one of them, so leave out the other\n";
        assert_eq!((ended.code, ended.err.as_str()), (Some(64), said));
    }
    Ok(())
}

#[tokio::test]
async fn more_dead_letters_than_are_looked_at_are_told_as_such() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    let (server, posted) = webhook(0)?;
    let url = format!("http://{}/", server.address);
    let settings = [("CONSOLE_WEBHOOK_URL", url.as_str())];
    let console = watching(&outbox, Some(&desk), &settings).await?;
    desk.add_rows(700, Rows::default()).await?;
    shows(&console.process, &["outbox_console_notices_total{outcome=\"posted\"} 1"]).await?;
    let letters = bodies(&posted, "dead_letters");
    assert_eq!((&letters[0]["count"], &letters[0]["count_is_capped"]), (&500.into(), &true.into()));
    let text = "500 or more new dead letters arrived: /dead-letters";
    assert_eq!(letters[0]["text"], text);
    Ok(())
}

#[tokio::test]
async fn dead_letters_that_cannot_be_read_are_logged_once_and_so_is_the_recovery() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    desk.sql.batch_execute("ALTER TABLE dead_letters RENAME TO away").await?;
    let settings = [("CONSOLE_WEBHOOK_URL", "http://127.0.0.1:1/")];
    let console = Console::start(&outbox, Some(&desk), &settings).await?;
    let failed = "the webhook's news can't be read";
    let line = console.process.wait_for_line(failed, PATIENCE).await?;
    ensure!(line.contains("dead_letters") && line.contains("WARN"), "{line}");
    let count = |source, count| {
        format!("outbox_console_webhook_read_failures_total{{source=\"{source}\"}} {count}")
    };
    let counts = [count("dead_letters", 2), count("failures", 0), count("status", 0)];
    shows(&console.process, &counts.each_ref().map(String::as_str)).await?;
    desk.sql.batch_execute("ALTER TABLE away RENAME TO dead_letters").await?;
    console.process.wait_for_line("the webhook's news can be read again", PATIENCE).await?;
    console.process.wait_for_line("the webhook is told what is new", PATIENCE).await?;
    assert_eq!(console.process.log().matches(failed).count(), 1, "{}", console.process.log());
    Ok(())
}
