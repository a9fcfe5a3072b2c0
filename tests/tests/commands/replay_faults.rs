//! `outbox-relay replay` with faults, and with many or large events.

use std::collections::HashSet;

use anyhow::{Context as _, ensure};
use pipeline_tests::outbox::{Outbox, PATIENCE, eventually};
use pipeline_tests::published_events::{ids, published, sent};
use pipeline_tests::rabbitmqctl::rabbitmqctl;
use pipeline_tests::terminal::on_a_terminal;
use stack::{RabbitServer, Service};
use tokio::process::Command;
use uuid::Uuid;

/// Closes the connections that relays and their commands have. The management API would not do: it
/// lists connections with a delay, of which nobody says how long it may be.
const CLOSE_THE_RELAYS: &str = r#"
    [] =/= [rabbit_networking:close_connection(Pid, "by a test")
        || [{pid, Pid}, {client_properties, Properties}]
            <- rabbit_networking:connection_info_all([pid, client_properties]),
           lists:keyfind(<<"connection_name">>, 1, Properties)
               =:= {<<"connection_name">>, longstr, <<"outbox-relay">>}]
    orelse error(no_connection)."#;

/// Starts a replay of many events in small windows as a separate process, and waits until it has
/// published some.
async fn long_replay(outbox: &Outbox) -> anyhow::Result<Service> {
    outbox.queue("all", "#").await?;
    published(outbox, 1500, "order.created", "1 hour").await?;
    let settings = [
        ("DATABASE_URL", outbox.relay_url.as_str()),
        ("RABBITMQ_URL", outbox.vhost.amqp_url.as_str()),
    ];
    let arguments = ["replay", "--yes", "--type", "order.created", "--relay-window", "1"];
    let program = stack::binary("outbox-relay").await?;
    let replay = Service::spawn(program, arguments, settings).await?;
    eventually("something is published again", async || Ok(outbox.depth("all").await? > 0)).await?;
    Ok(replay)
}

#[tokio::test]
async fn a_replay_goes_on_when_the_broker_closes_its_connection() -> anyhow::Result<()> {
    let server = RabbitServer::start_temporary().await?;
    let database = stack::shared().await?.database("outbox").await?;
    let outbox = Outbox::on(database, server.vhost("replay").await?).await?;
    let replay = long_replay(&outbox).await?;
    rabbitmqctl(&server, &["eval", CLOSE_THE_RELAYS])?;
    ensure!(replay.is_running(), "it ended before: {}", replay.last_lines());
    let status = replay.wait_exit(PATIENCE * 2).await?;
    assert!(status.success(), "{}", replay.last_lines());
    let log = replay.log();
    assert!(log.ends_with("1500 events published again.\n"), "{log}");
    let got: HashSet<Uuid> = sent(&outbox.take_all("all").await?)?.into_iter().collect();
    assert_eq!(got, outbox.event_ids().await?);
    Ok(())
}

#[tokio::test]
async fn a_replay_that_is_stopped_says_how_to_go_on() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let replay = long_replay(&outbox).await?;
    replay.sigterm()?;
    assert_eq!(replay.wait_exit(PATIENCE).await?.code(), Some(1), "{}", replay.last_lines());
    let log = replay.log();
    let (said, reached) = log.trim_end().rsplit_once(" --above-id ").context(log.clone())?;
    assert!(said.starts_with("error: stopped after "), "{said}");
    let first = sent(&outbox.take_all("all").await?)?;
    assert!(said.contains(&format!("after {} of 1500", first.len())), "{said}: {}", first.len());

    let on = ["replay", "--yes", "--type", "order.created", "--above-id", reached, "--json"];
    let ended = outbox.command(&on).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()?["replayed"], 1500 - first.len());
    let rest = sent(&outbox.take_all("all").await?)?;
    assert_eq!([first, rest].concat(), ids(&outbox, "true").await?, "each once, in order");
    Ok(())
}

#[tokio::test]
async fn big_events_are_replayed_in_little_memory() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // Such digits compress badly.
    outbox
        .sql
        .batch_execute(
            "WITH digits AS (SELECT string_agg(md5(j::text), '') AS text FROM generate_series(1, 32768) AS j)
             INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, published_at)
             SELECT 'order', i, 'order.created', jsonb_build_object('digits', (SELECT text FROM digits)), now()
             FROM generate_series(1, 100) AS i",
        )
        .await?;
    let measure = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)";
    let output = Command::new(stack::python()?)
        .args(["-c", measure, "env", "-i"])
        .arg(format!("DATABASE_URL={}", outbox.relay_url))
        .arg(format!("RABBITMQ_URL={}", outbox.vhost.amqp_url))
        .arg(stack::binary("outbox-relay").await?)
        .args(["replay", "--yes", "--type", "order.created"])
        .output()
        .await?;
    let out = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{out} {}", String::from_utf8_lossy(&output.stderr));
    // Kilobytes on Linux, bytes elsewhere.
    let peak: u64 = out.trim().rsplit('\n').next().context("a number")?.parse()?;
    let peak = if cfg!(target_os = "linux") { peak * 1024 } else { peak };
    assert!(peak < 64 << 20, "100 MB were replayed with {} MB in memory", peak >> 20);
    assert_eq!(outbox.depth("all").await?, 100);
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_a_long_replay_tells_how_far_it_is() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    published(&outbox, 3000, "order.created", "1 hour").await?;
    let arguments = ["replay", "--yes", "--type", "order.created", "--relay-window", "1"];
    let ended = on_a_terminal(&outbox, &arguments, "").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (progress, result) = ended.out.trim_end().rsplit_once('\r').context("a line")?;
    assert!(progress.contains(" of 3000 events"), "{progress}");
    // The line is cleared in the end.
    assert_eq!(result, "\x1b[K3000 events published again.", "{ended:?}");
    Ok(())
}
