//! What a client of the pipeline sees: orders, counts, and the outbox in between.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::plan::Addresses;
use crate::services::run_program;
use crate::state::State;
use crate::status::connect;

/// The customers that the seed data have.
const CUSTOMERS: [&str; 3] = [
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",
];

/// How long the pipeline may take to do what it does at once when it is well.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Customer {
    id: &'static str,
    pub(super) name: String,
}

pub(super) struct Shop<'a> {
    at: &'a Addresses,
    http: reqwest::Client,
    orders: tokio_postgres::Client,
}

impl<'a> Shop<'a> {
    pub(super) async fn new(at: &'a Addresses) -> anyhow::Result<Self> {
        let orders = connect(&at.order_database).await;
        let orders = orders.context("the order database does not answer")?;
        Ok(Self { at, http: stack::http_client()?, orders })
    }

    pub(super) async fn customers(&self) -> anyhow::Result<Vec<Customer>> {
        let mut customers = Vec::new();
        for id in CUSTOMERS {
            let name = self.customer(id).await?["name"].as_str().unwrap_or(id).to_owned();
            customers.push(Customer { id, name });
        }
        Ok(customers)
    }

    /// Places an order and returns its id.
    pub(super) async fn order(&self, customer: &Customer) -> anyhow::Result<String> {
        let url = format!("{}/api/orders", self.at.order_service);
        let order = json!({ "order": {
            "customer_public_id": customer.id,
            "product_name": "Laptop",
            "quantity": 1,
            "price": "1200.00",
            "delivery_address": "Cra 7 #12-34, Bogotá",
        }});
        let response = self.http.post(&url).json(&order).send().await?;
        let (status, body) = (response.status(), response.text().await?);
        ensure!(status == StatusCode::CREATED, "{url} answered {status}: {body}");
        let created: Value = serde_json::from_str(&body)?;
        Ok(created["id"].as_str().context("the order has no id")?.to_owned())
    }

    /// Returns how many orders each customer has by now, as customer-service counts them.
    pub(super) async fn counts(&self, customers: &[Customer]) -> anyhow::Result<Vec<u64>> {
        let mut counts = Vec::new();
        for Customer { id, .. } in customers {
            let count = self.customer(id).await?["orders_count"].as_u64();
            counts.push(count.context("the customer has no orders_count")?);
        }
        Ok(counts)
    }

    /// Waits until the counts are as expected, and returns how long that took.
    pub(super) async fn wait_for_counts(
        &self,
        customers: &[Customer],
        expected: &[u64],
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let counts = self.counts(customers).await?;
            if counts == expected {
                return Ok(began.elapsed());
            }
            let over = counts.iter().zip(expected).any(|(count, expected)| count > expected);
            if over || began.elapsed() > PATIENCE {
                bail!("the counts are {counts:?} instead of {expected:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Returns how many of these orders' events are not published.
    pub(super) async fn pending(&self, orders: &[String]) -> anyhow::Result<i64> {
        let count =
            "SELECT count(*) FROM outbox WHERE published_at IS NULL AND aggregate_id = ANY ($1)";
        Ok(self.orders.query_one(count, &[&orders]).await?.try_get(0)?)
    }

    /// Publishes the events of these orders once more, and returns how many there are when the
    /// consumer has had them all.
    pub(super) async fn publish_again(
        &self,
        state: &State,
        orders: &[String],
    ) -> anyhow::Result<u64> {
        let before = self.duplicates().await?;
        let ids = "SELECT event_id::text FROM outbox WHERE aggregate_id = ANY ($1)";
        let rows = self.orders.query(ids, &[&orders]).await?;
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        let mut arguments = vec!["replay".to_owned(), "--reason".to_owned(), "demo".to_owned()];
        arguments.extend(ids.iter().cloned());
        let settings = [
            ("DATABASE_URL", self.at.order_database.as_str()),
            ("RABBITMQ_URL", &self.at.rabbitmq),
        ];
        run_program(state, "outbox-relay", &arguments, &settings).await?;
        let events = u64::try_from(ids.len())?;
        let began = Instant::now();
        while self.duplicates().await? < before + events {
            ensure!(began.elapsed() < PATIENCE, "the consumer has not had the messages yet");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(events)
    }

    /// Returns how many messages the consumer has recognized as duplicates.
    async fn duplicates(&self) -> anyhow::Result<u64> {
        const METRIC: &str = "consumer_events_total{outcome=\"duplicate\"} ";
        let url = format!("{}/metrics", self.at.customer_consumer_ops);
        let metrics = self.http.get(url).send().await?.text().await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(METRIC));
        Ok(value.context("the consumer has no such metric")?.parse()?)
    }

    async fn customer(&self, id: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/customers/{id}", self.at.customer_service);
        let response = self.http.get(&url).send().await?;
        let (status, body) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{url} answered {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }
}
