//! The relay drains a backlog.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde_json::json;
use stack::{PostgresServer, RabbitServer, Service};
use tokio_postgres::{Client, NoTls};

use crate::bare;

const EXCHANGE: &str = "orders.events";
const QUEUE: &str = "bench";

/// A data member that makes a message of about 350 bytes.
const PAYLOAD: &str = r#"{"order_public_id": "0190163d-8694-739b-aea5-966c26f8ad91", "customer_public_id": "11111111-1111-1111-1111-111111111111", "product_name": "a bicycle bell", "quantity": 1, "price": "12.50"}"#;

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Events in the backlog, each of an aggregate of its own
    #[arg(long, default_value_t = 50_000)]
    events: usize,
    /// Messages in flight, of the relay and of the bare publisher
    #[arg(long, default_value_t = 1_000)]
    window: usize,
    /// How many times both are measured, in turn; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

impl Drain {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.events > 0 && self.window > 0 && self.rounds > 0,
            "there is nothing to measure"
        );
        eprintln!("starting PostgreSQL and RabbitMQ");
        let postgres = PostgresServer::start_temporary().await?;
        let rabbit = RabbitServer::start_temporary().await?;
        let database = postgres.database("bench").await?;
        let vhost = rabbit.vhost("bench").await?;
        let client = connect(&database.url).await?;
        client.batch_execute(include_str!("../../sql/outbox/schema.sql")).await?;
        let connection =
            Connection::connect(&vhost.amqp_url, ConnectionProperties::default()).await?;
        declare(&connection).await?;
        let programs = stack::build(&["outbox-relay"], &["--release".to_owned()])?;
        let relay = &programs["outbox-relay"];

        let (mut bare_rates, mut relay_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}: bare publisher", self.rounds);
            let body = message();
            let bare =
                bare::publish(&vhost.amqp_url, EXCHANGE, body.as_bytes(), self.events, self.window)
                    .await?;
            self.purge(&connection).await?;

            eprintln!("round {round} of {}: relay", self.rounds);
            self.fill(&client).await?;
            let batch = self.window.to_string();
            let service = Service::spawn(
                relay,
                ["run"],
                [
                    ("DATABASE_URL", database.url.as_str()),
                    ("RABBITMQ_URL", &vhost.amqp_url),
                    ("OPS_ADDR", "127.0.0.1:0"),
                    ("RELAY_BATCH", &batch),
                ],
            )
            .await?;
            let drained = self.drain(&client).await?;
            drop(service);
            self.purge(&connection).await?;
            bare_rates.push(bare);
            relay_rates.push(drained);
            ratios.push(drained / bare);
        }
        let (bare, relay, ratio) =
            (median(&mut bare_rates), median(&mut relay_rates), median(&mut ratios));
        println!(
            "{}",
            json!({
                "measure": "drain",
                "events": self.events,
                "window": self.window,
                "rounds": self.rounds,
                "bare_publisher_per_second": bare.round(),
                "relay_per_second": relay.round(),
                "ratio": (ratio * 100.0).round() / 100.0,
                "ratio_min": (ratios[0] * 100.0).round() / 100.0,
                "ratio_max": (ratios[ratios.len() - 1] * 100.0).round() / 100.0,
            })
        );
        Ok(())
    }

    /// Makes the backlog.
    async fn fill(&self, client: &Client) -> anyhow::Result<()> {
        client.batch_execute("TRUNCATE outbox").await?;
        client
            .execute(
                "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                 SELECT 'order', gen_random_uuid()::text, 'order.created', $1::text::jsonb FROM generate_series(1, $2::bigint)",
                &[&PAYLOAD, &i64::try_from(self.events)?],
            )
            .await?;
        client.batch_execute("VACUUM ANALYZE outbox").await?;
        Ok(())
    }

    /// Events per second from the first that is published to the last.
    async fn drain(&self, client: &Client) -> anyhow::Result<f64> {
        let deadline = Instant::now() + Duration::from_secs(300);
        let first = "SELECT pending < $1 FROM (SELECT count(*) AS pending FROM outbox WHERE published_at IS NULL) AS backlog";
        let total = i64::try_from(self.events)?;
        while !client.query_one(first, &[&total]).await?.get::<_, bool>(0) {
            ensure!(Instant::now() < deadline, "the relay does not begin");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let started = Instant::now();
        let pending: i64 = client
            .query_one("SELECT count(*) FROM outbox WHERE published_at IS NULL", &[])
            .await?
            .get(0);
        let last = "SELECT EXISTS (SELECT FROM outbox WHERE published_at IS NULL ORDER BY id DESC LIMIT 1)";
        while client.query_one(last, &[]).await?.get::<_, bool>(0) {
            ensure!(Instant::now() < deadline, "the relay does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(pending as f64 / started.elapsed().as_secs_f64())
    }

    /// Empties the queue, having seen that every message is in it.
    async fn purge(&self, connection: &Connection) -> anyhow::Result<()> {
        let channel = connection.create_channel().await?;
        let purged = channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
        ensure!(
            usize::try_from(purged)? >= self.events,
            "{purged} messages arrived of {}: this run has no result",
            self.events
        );
        Ok(())
    }
}

async fn declare(connection: &Connection) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default())
        .await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(QUEUE.into(), durable, quorum).await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(QUEUE.into(), EXCHANGE.into(), "order.*".into(), options, FieldTable::default())
        .await?;
    Ok(())
}

/// What the relay makes of a row, near enough in size.
fn message() -> String {
    format!(
        r#"{{"event_id":"0190163d-8694-739b-aea5-966c26f8ad91","event":"order.created","occurred_at":"2026-02-01T22:25:31.123456Z","data":{PAYLOAD}}}"#
    )
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

/// Sorts the values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
