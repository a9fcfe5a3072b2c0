//! Concurrent reads of orders are batched, and each response is independent.

use futures_util::future::try_join_all;
use pipeline_tests::blocked_order::{PATIENT, metric, quantity};
use pipeline_tests::order_api::{OrderApi, accepted, problem};
use pipeline_tests::outbox::eventually;
use reqwest::Response;
use serde_json::Value;
use uuid::Uuid;

/// Orders with different quantities, and the URL of each.
async fn orders(api: &OrderApi, number: i32) -> anyhow::Result<Vec<(String, Value)>> {
    let mut orders = Vec::new();
    for number in 1..=number {
        let answer = api.post(&quantity(number)).send().await?;
        let location = answer.headers()["location"].to_str()?.to_owned();
        orders.push((location, accepted(answer).await?));
    }
    Ok(orders)
}

/// Requests all at once; they wait for the database until all have arrived.
async fn asked_together(api: &OrderApi, locations: &[&str]) -> anyhow::Result<Vec<Response>> {
    let mut sql = api.sql().await?;
    // The metric does not exist before the first read.
    let before = metric(api, "order_reads_total").await.unwrap_or(0);
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let gets = locations.iter().map(|location| {
        let get = api.http.get(format!("{}{location}", api.url));
        tokio::spawn(async move { Ok::<_, anyhow::Error>(get.send().await?) })
    });
    let gets: Vec<_> = gets.collect();
    let all = before + i64::try_from(locations.len())?;
    eventually("all have come", async || {
        Ok(metric(api, "order_reads_total").await.unwrap_or(0) == all)
    })
    .await?;
    lock.rollback().await?;
    try_join_all(gets).await?.into_iter().collect()
}

#[tokio::test]
async fn orders_that_are_asked_for_at_the_same_moment_share_statements() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let orders = orders(&api, 20).await?;
    let nobodys = format!("/api/orders/{}", Uuid::now_v7());
    let mut locations: Vec<&str> = orders.iter().map(|(location, _)| location.as_str()).collect();
    // Some are requested twice, and one does not exist.
    locations.extend_from_within(..10);
    locations.push(&nobodys);

    let answers = asked_together(&api, &locations).await?;
    let told = orders.iter().chain(&orders[..10]).map(|(_, order)| order);
    let mut answers = answers.into_iter();
    for order in told {
        let found: Value = answers.next().expect("one for each").error_for_status()?.json().await?;
        assert_eq!(&found, order);
    }
    problem(answers.next().expect("one more"), 404).await?;
    // The first ones are read at once, the others together.
    let batches = metric(&api, "order_read_batches_total").await?;
    assert!((1..=4).contains(&batches), "{batches} statements for {} orders", locations.len());
    Ok(())
}

#[tokio::test]
async fn a_statement_that_takes_long_holds_up_nobody_who_asks_later() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let orders = orders(&api, 2).await?;
    let (mut sql, watch) = (api.sql().await?, api.sql().await?);
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let mut gets = Vec::new();
    for (number, (location, _)) in (1_i64..).zip(&orders) {
        let get = api.http.get(format!("{}{location}", api.url));
        gets.push(tokio::spawn(async move { Ok::<_, anyhow::Error>(get.send().await?) }));
        eventually("the database has the question", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            Ok(watch.query_one(waiting, &[]).await?.get::<_, i64>(0) == number)
        })
        .await?;
    }
    lock.rollback().await?;
    for ((_, order), get) in orders.iter().zip(try_join_all(gets).await?) {
        assert_eq!(&get?.error_for_status()?.json::<Value>().await?, order);
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_alone_is_read_at_once() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let orders = orders(&api, 3).await?;
    for (read, (location, order)) in (1..).zip(&orders) {
        let found: Value = api.get(location).await?.json().await?;
        assert_eq!(&found, order);
        assert_eq!(metric(&api, "order_read_batches_total").await?, read);
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_no_harm_to_the_others() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&PATIENT).await?;
    let orders = orders(&api, 10).await?;
    let sql = api.sql().await?;
    let spoil = "UPDATE orders SET created_at = 'infinity' WHERE quantity = 3";
    assert_eq!(sql.execute(spoil, &[]).await?, 1);
    let locations: Vec<&str> = orders.iter().map(|(location, _)| location.as_str()).collect();
    for ((_, order), answer) in orders.iter().zip(asked_together(&api, &locations).await?) {
        if order["quantity"] == 3 {
            problem(answer, 500).await?;
        } else {
            let found: Value = answer.error_for_status()?.json().await?;
            assert_eq!(&found, order);
        }
    }
    Ok(())
}
