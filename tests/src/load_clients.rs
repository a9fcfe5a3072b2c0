//! Many clients that send orders to several replicas concurrently.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::consumer_fixture::until;
use crate::{customer_api, order_api};

/// The clients' customers, and the accepted orders.
#[derive(Debug)]
pub struct LoadClients {
    customers: Vec<Uuid>,
    posted: AtomicUsize,
    accepted: Mutex<BTreeMap<Uuid, Uuid>>,
    enough: CancellationToken,
}

impl LoadClients {
    /// Creates `number` customers at the customer service at `url`.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn new(url: &str, number: usize) -> anyhow::Result<Self> {
        let http = stack::http_client()?;
        let mut customers = Vec::new();
        for number in 0..number {
            let body =
                customer_api::customer(&format!("Customer {number}"), "Cra 7 #12-34, Bogotá");
            let answer = http.post(format!("{url}/api/customers")).json(&body).send().await?;
            let made: serde_json::Value = answer.error_for_status()?.json().await?;
            customers.push(made["id"].as_str().context("an id")?.parse()?);
        }
        Ok(Self {
            customers,
            posted: AtomicUsize::new(0),
            accepted: Mutex::default(),
            enough: CancellationToken::new(),
        })
    }

    /// Sends orders from `clients` clients until [`enough`](Self::enough) is called. Each client
    /// uses one of the replicas at `urls`, and orders for all customers in turn.
    ///
    /// # Errors
    /// When an order is not accepted.
    pub async fn order(&self, urls: &[String], clients: usize) -> anyhow::Result<()> {
        let http = stack::http_client()?;
        let client = async |url: &str| {
            while !self.enough.is_cancelled() {
                self.order_once(&http, url).await?;
            }
            anyhow::Ok(())
        };
        try_join_all(urls.iter().cycle().take(clients).map(|url| client(url))).await?;
        Ok(())
    }

    async fn order_once(&self, http: &reqwest::Client, url: &str) -> anyhow::Result<()> {
        let number = self.posted.fetch_add(1, Ordering::Relaxed);
        let customer = self.customers[number % self.customers.len()];
        let order = json!({"order": {
            "customer_public_id": customer,
            "product_name": format!("product {number}"),
            "quantity": 1,
            "price": "10.50",
            "delivery_address": "Cra 7 #12-34, Bogotá",
        }});
        let answer = http.post(format!("{url}/api/orders")).json(&order).send().await?;
        let made = order_api::accepted(answer).await?;
        let id = made["id"].as_str().context("an id")?.parse()?;
        let before = self.accepted().insert(id, customer);
        ensure!(before.is_none(), "two orders have the id {id}");
        Ok(())
    }

    /// Stops the clients after their current orders.
    pub fn enough(&self) {
        self.enough.cancel();
    }

    /// Waits until this many further orders were accepted.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn more(&self, orders: usize) -> anyhow::Result<()> {
        let wanted = self.accepted().len() + orders;
        until(async || Ok((self.accepted().len() >= wanted).then_some(())))
            .await
            .with_context(|| format!("{wanted} orders are accepted"))
    }

    /// The customer of each accepted order.
    #[must_use]
    pub fn orders(&self) -> BTreeMap<Uuid, Uuid> {
        self.accepted().clone()
    }

    /// The number of accepted orders of each customer.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Uuid, i64> {
        let mut counts: BTreeMap<_, _> = self.customers.iter().map(|id| (*id, 0)).collect();
        for customer in self.orders().into_values() {
            *counts.entry(customer).or_default() += 1;
        }
        counts
    }

    fn accepted(&self) -> MutexGuard<'_, BTreeMap<Uuid, Uuid>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
