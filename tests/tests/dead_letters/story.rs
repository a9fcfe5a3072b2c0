//! A whole story: 800 dead letters of two causes are collected, edited, returned and discarded,
//! with the Python consumer.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use pipeline_tests::command::Ended;
use pipeline_tests::example_consumer::{BALANCES, ExampleConsumer, Program};
use pipeline_tests::outbox::{PATIENCE, eventually};
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::seed::seed;
use pipeline_tests::temp_folder::TempFolder;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use stack::Service;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

const QUEUE: &str = "balances.dlq";

/// Payments of invoices that the consumer does not know yet.
const PAYMENTS: i64 = 400;
/// Copies of one more such payment, published without an id: identical messages.
const COPIES: i64 = 387;
/// Invoices whose amount is no number: a deploy went wrong. One of them matters.
const WRONG: i64 = 13;
const ALL: i64 = PAYMENTS + COPIES + WRONG;

const KILLS: u32 = 30;

/// The sessions of collectors, including those of dead processes that the server has not noticed.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'outbox-relay dead-letters collect'";

/// Rows whose messages were acknowledged, unless that was lost.
const RELEASED: &str = "SELECT count(*) FROM dead_letters AS row WHERE NOT EXISTS (
                            SELECT FROM dead_letters_sessions AS session
                            WHERE session.id = row.collector_session
                              AND row.delivery_tag > session.acknowledged_up_to)";

/// The consumer, the desk beside its inbox, and the person who types.
struct Evening {
    example: ExampleConsumer,
    folder: TempFolder,
}

impl Evening {
    async fn begin() -> anyhow::Result<Self> {
        let program = Program::python(env!("CARGO_TARGET_TMPDIR"))?;
        let example = ExampleConsumer::new(program, &BALANCES).await?;
        example.sql.batch_execute(include_str!("../../../sql/dead-letters/schema.sql")).await?;
        let folder = TempFolder::new()?;
        folder.write("url", &example.database.url)?;
        folder.write(
            "inboxes.toml",
            &format!(
                "[[inbox]]\nname = \"balances\"\nurl_file = \"url\"\ntable = \"inbox\"\nkey = \"event_id\"\n\
                 types = [\"invoice.*\"]\ndead_letter_queue = \"{QUEUE}\"\nlongest_retry = \"0s\"\n"
            ),
        )?;
        Ok(Self { example, folder })
    }

    fn settings(&self) -> [(&'static str, String); 6] {
        let ExampleConsumer { outbox, database, .. } = &self.example;
        [
            ("DATABASE_URL", outbox.relay_url.clone()),
            ("DEAD_LETTERS_DATABASE_URL", database.url.clone()),
            ("RABBITMQ_URL", outbox.vhost.amqp_url.clone()),
            ("OUTBOX_INBOXES", self.folder.path("inboxes.toml")),
            ("OUTBOX_ACTOR", "alice".to_owned()),
            ("OPS_ADDR", "127.0.0.1:0".to_owned()),
        ]
    }

    async fn types(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        outbox_relay(arguments, &settings).await
    }

    /// Types a command that has to succeed, and returns what it says.
    async fn done(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let ended = self.types(&[arguments, &["--json"]].concat()).await?;
        ensure!(ended.code == Some(0), "{arguments:?}: {ended:?}");
        ended.json()
    }

    async fn number(&self, query: &str) -> anyhow::Result<i64> {
        Ok(self.example.sql.query_one(query, &[]).await?.get(0))
    }

    async fn rows(&self) -> anyhow::Result<i64> {
        self.number("SELECT count(*) FROM dead_letters").await
    }

    /// Starts the consumer without retries.
    async fn consumer(&self) -> anyhow::Result<Service> {
        let url = &self.example.outbox.vhost.amqp_url;
        self.example.start(url, &[("RABBITMQ_MAX_RETRIES", "0")]).await
    }

    async fn break_everything(&self) -> anyhow::Result<()> {
        let outbox = &self.example.outbox;
        let events = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                      SELECT 'invoice', n, 'invoice.paid', jsonb_build_object('invoice', n::text, 'amount', '1.00')
                      FROM generate_series(1, $1::bigint) AS n
                      UNION ALL
                      SELECT 'invoice', n, 'invoice.issued',
                             jsonb_build_object('invoice', n::text, 'amount', CASE n WHEN 1000 THEN 'ten' ELSE 'none' END)
                      FROM generate_series(1000, 999 + $2::bigint) AS n";
        outbox.sql.execute(events, &[&PAYMENTS, &WRONG]).await?;
        let consumer = self.consumer().await?;
        let relay = outbox.relay_process(&[]).await?;
        let event_id = Uuid::new_v4();
        let body = format!(
            r#"{{"event_id": "{event_id}", "event": "invoice.paid", "data": {{"invoice": "1", "amount": "1.00"}}}}"#
        );
        let properties = BasicProperties::default().with_delivery_mode(2);
        let properties = properties.with_type("invoice.paid".into());
        for _ in 0..COPIES {
            let options = BasicPublishOptions::default();
            let (queue, properties) = (BALANCES.queue.into(), properties.clone());
            outbox
                .channel
                .basic_publish("".into(), queue, options, body.as_bytes(), properties)
                .await?;
        }
        eventually("all are dead letters", async || {
            Ok(i64::from(outbox.depth(QUEUE).await?) == ALL)
        })
        .await?;
        relay.sigterm()?;
        consumer.sigterm()?;
        consumer.wait_exit(PATIENCE).await?;
        Ok(())
    }

    /// Collects in small batches until the collector is killed. Returns how many messages are then
    /// in the queue.
    async fn collect_until_killed(&self, after: Duration) -> anyhow::Result<i64> {
        let arguments = ["dead-letters", "collect", "--queue", QUEUE, "--follow"];
        let settings =
            self.settings().into_iter().chain([("DEAD_LETTERS_PREFETCH", "8".to_owned())]);
        let program = stack::binary("outbox-relay").await?;
        let begun = self.rows().await?;
        let collector = Service::spawn(program, arguments, settings).await?;
        eventually("it has begun", async || {
            Ok(self.rows().await? > begun || self.example.outbox.depth(QUEUE).await? == 0)
        })
        .await?;
        tokio::time::sleep(after).await;
        collector.sigkill()?;
        collector.wait_exit(PATIENCE).await?;
        eventually("the database has noticed", async || Ok(self.number(SESSIONS).await? == 0))
            .await?;
        let mut before = None;
        eventually("the broker has noticed", async || {
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let channel = &self.example.outbox.channel;
            let queue = channel.queue_declare(QUEUE.into(), passive, FieldTable::default()).await?;
            let (messages, consumers) = (queue.message_count(), queue.consumer_count());
            let is_settled = consumers == 0 && before == Some(messages);
            before = Some(messages);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(is_settled)
        })
        .await?;
        Ok(i64::from(before.context("the queue was looked at")?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_at_the_desk() -> Tested {
    let mut rng = StdRng::seed_from_u64(seed()?);
    let evening = Evening::begin().await?;
    evening.break_everything().await?;
    let missed = evening.types(&["reconcile"]).await?;
    assert_eq!(missed.code, Some(3), "nobody has collected them: {missed:?}");

    // Nothing is lost, and each becomes one row, unless its acknowledgement was noted and is lost.
    let mut in_doubt = 0;
    for kill in 0..KILLS {
        let after = Duration::from_micros(rng.random_range(0..40_000));
        let waiting = evening.collect_until_killed(after).await?;
        let lost = waiting - (ALL + in_doubt - evening.number(RELEASED).await?);
        ensure!((0..=8).contains(&lost), "kill {kill}: {lost} in doubt, {waiting} waiting");
        in_doubt += lost;
    }
    evening.done(&["dead-letters", "collect", "--queue", QUEUE]).await?;
    let all = evening.rows().await?;
    assert_eq!(all, ALL + in_doubt, "{in_doubt} in doubt");
    println!("{KILLS} kills, {in_doubt} in doubt");

    // Two causes.
    let groups = evening.done(&["dead-letters", "groups"]).await?;
    let group = |event_type: &str| {
        let groups = groups["groups"].as_array().map_or(&[][..], Vec::as_slice);
        let found: Vec<&Value> =
            groups.iter().filter(|group| group["event_type"] == event_type).collect();
        match found.as_slice() {
            [group] => Ok((*group).clone()),
            _ => Err(anyhow::anyhow!("{event_type}: {groups:?}")),
        }
    };
    let (wrong, unknown) = (group("invoice.issued")?, group("invoice.paid")?);
    assert_eq!(groups["groups"].as_array().map(Vec::len), Some(2), "{groups}");
    let count = |group: &Value| group["messages"].as_i64().unwrap_or_default();
    assert_eq!(count(&wrong) + count(&unknown), all);
    let cause = |group: &Value| group["fingerprint"].as_str().unwrap_or_default().to_owned();

    // One is edited and returned, and is counted.
    let find = "SELECT id, body FROM dead_letters WHERE position('\"ten\"' IN convert_from(body, 'UTF8')) > 0 ORDER BY id";
    let row = evening.example.sql.query(find, &[]).await?;
    let (id, body): (i64, Vec<u8>) = (row[0].get(0), row[0].get(1));
    let mended = String::from_utf8(body)?.replace("\"ten\"", "\"10.00\"");
    let file = evening.folder.write("body.json", &mended)?;
    let number = id.to_string();
    let edit =
        ["dead-letters", "edit", &number, "--body-file", &file, "--reason", "a wrong amount"];
    evening.done(&edit).await?;
    let _consumer = evening.consumer().await?;
    evening.done(&["dead-letters", "return", &number, "--reason", "mended"]).await?;
    eventually("the invoice is issued", async || {
        let due = "SELECT count(*) FROM balances WHERE invoice = 1000 AND due = 10";
        Ok(evening.number(due).await? == 1)
    })
    .await?;

    // The other wrong invoices are discarded. Second rows of the edited one may be among them.
    let useless = (count(&wrong) - 1).to_string();
    let expected = ["--expect", useless.as_str(), "--reason", "test invoices"];
    let no_amount = cause(&wrong);
    let discard =
        [&["dead-letters", "discard", "--fingerprint", &no_amount], &expected[..]].concat();
    let discarded = evening.done(&discard).await?;
    assert_eq!(
        discarded["discarded"].as_array().map(Vec::len),
        Some(usize::try_from(count(&wrong) - 1)?)
    );

    // The invoices are known now: the payments go back, 100 a second.
    let known =
        "INSERT INTO balances (invoice, due) SELECT n, 10 FROM generate_series(1, $1::bigint) AS n";
    evening.example.sql.execute(known, &[&PAYMENTS]).await?;
    let start = Instant::now();
    let (expect, up_to_id) = (count(&unknown).to_string(), unknown["up_to_id"].to_string());
    let returned = evening
        .done(&[
            "dead-letters",
            "return",
            "--fingerprint",
            &cause(&unknown),
            "--expect",
            &expect,
            "--up-to-id",
            &up_to_id,
            "--rate",
            "100/s",
            "--reason",
            "the invoices are known",
        ])
        .await?;
    assert_eq!(returned["returned"], count(&unknown));
    ensure!(start.elapsed() > Duration::from_secs(6), "it took {:?}", start.elapsed());
    eventually("each payment is counted once", async || {
        let paid = "SELECT count(*) FROM balances WHERE (invoice BETWEEN 2 AND 400 AND due = 9) OR (invoice = 1 AND due = 8)";
        Ok(evening.number(paid).await? == PAYMENTS)
    })
    .await?;
    eventually("nothing is left", async || {
        let outbox = &evening.example.outbox;
        Ok(outbox.depth(BALANCES.queue).await? + outbox.depth(QUEUE).await? == 0)
    })
    .await?;

    let clean = evening.done(&["reconcile", "--since", "1d"]).await?;
    assert_eq!(clean["consumers"][0]["checked"], PAYMENTS + WRONG);
    assert_eq!(clean["missing"], serde_json::json!([]));
    let states = "SELECT count(*) FROM dead_letters WHERE state NOT IN ('returned', 'discarded')";
    assert_eq!(evening.number(states).await?, 0);
    // Each act of the evening is in the audit, under four numbers.
    let audit = "SELECT count(DISTINCT operation_id) FROM dead_letters_audit WHERE actor = 'alice'";
    assert_eq!(evening.number(audit).await?, 4);
    let acts =
        "SELECT count(*) FROM dead_letters_audit WHERE action IN ('edit', 'return', 'discard')";
    assert!(evening.number(acts).await? > all, "an edit, and how each row ended");
    Ok(())
}
