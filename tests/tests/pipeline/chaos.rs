//! The whole pipeline under load while its processes are killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pipeline_tests::pipeline::{PATIENCE, Pipeline, connect, orders_count};
use pipeline_tests::rss::Rss;
use serde_json::json;
use stack::Service;

const ORDERS: usize = 10_000;
const AT_A_TIME: usize = 32;
const CRASHES: usize = 10;

/// In megabytes.
const MOST_ALLOCATED: u64 = 20;

const CUSTOMERS: [&str; 3] = [
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_orders_are_counted_exactly_once_while_relay_and_consumer_crash_ten_times()
-> anyhow::Result<()> {
    let mut pipeline = Pipeline::start().await?;
    let url = format!("{}/api/orders", pipeline.order_url);
    let accepted = AtomicUsize::new(0);

    let posting = post_orders(&url, &accepted);
    let crashing = async {
        for crash in 1..=CRASHES {
            reach(&accepted, crash * ORDERS / (CRASHES + 1)).await?;
            // Each time, as a leak ends with its process.
            small(&pipeline.relay)?;
            pipeline.crash_relay().await?;
            small(&pipeline.consumer)?;
            pipeline.crash_consumer().await?;
        }
        anyhow::Ok(())
    };
    let (per_customer, ()) = tokio::try_join!(posting, crashing)?;
    assert_eq!(per_customer.values().sum::<i64>(), i64::try_from(ORDERS)?);

    drained(&pipeline).await?;
    for (customer, expected) in &per_customer {
        let deadline = Instant::now() + PATIENCE;
        let mut count = orders_count(&pipeline.customer_url, customer).await?;
        while count < *expected && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            count = orders_count(&pipeline.customer_url, customer).await?;
        }
        assert_eq!(count, *expected, "orders of {customer}");
    }
    let customers = connect(&pipeline.customers.url).await?;
    let events: i64 =
        customers.query_one("SELECT count(*) FROM processed_events", &[]).await?.get(0);
    assert_eq!(events, i64::try_from(ORDERS)?, "each event once");

    for service in
        [&pipeline.order_service, &pipeline.relay, &pipeline.customer_api, &pipeline.consumer]
    {
        small(service)?;
    }
    Ok(())
}

/// Posts the orders, some concurrently. Returns how many of each customer were accepted.
async fn post_orders(
    url: &str,
    accepted: &AtomicUsize,
) -> anyhow::Result<BTreeMap<&'static str, i64>> {
    let http = stack::http_client()?;
    stream::iter(0..ORDERS)
        .map(|number| {
            let http = http.clone();
            async move {
                let customer = CUSTOMERS[number % CUSTOMERS.len()];
                let order = json!({"order": {
                    "customer_public_id": customer,
                    "product_name": format!("product {number}"),
                    "quantity": 1,
                    "price": "10.50",
                    "delivery_address": "Cra 7 #12-34",
                }});
                let response = http.post(url).json(&order).send().await?;
                let status = response.status();
                ensure!(status == 201, "order {number}: {status} {}", response.text().await?);
                accepted.fetch_add(1, Ordering::Relaxed);
                Ok(customer)
            }
        })
        .buffer_unordered(AT_A_TIME)
        .try_fold(BTreeMap::new(), async |mut counts, customer| {
            *counts.entry(customer).or_insert(0) += 1;
            Ok(counts)
        })
        .await
}

/// Waits until this many orders were accepted.
async fn reach(accepted: &AtomicUsize, wanted: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + 4 * PATIENCE;
    while accepted.load(Ordering::Relaxed) < wanted {
        ensure!(Instant::now() < deadline, "{wanted} orders were never reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Waits until nothing is pending.
async fn drained(pipeline: &Pipeline) -> anyhow::Result<()> {
    let orders = connect(&pipeline.orders.url).await?;
    let deadline = Instant::now() + 4 * PATIENCE;
    loop {
        let pending: i64 = orders.query_one("SELECT pending FROM outbox_lag", &[]).await?.get(0);
        if pending == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{pending} are pending: {}",
            pipeline.relay.last_lines()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fails if a running service has allocated too much memory.
fn small(service: &Service) -> anyhow::Result<()> {
    let rss = Rss::of(service).with_context(|| service.last_lines())?;
    ensure!(rss.anonymous < MOST_ALLOCATED, "{rss:?} MB: {}", service.last_lines());
    Ok(())
}
