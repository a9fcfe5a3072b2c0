//! Changing the status of orders: allowed transitions, responses and events.

use std::collections::HashSet;

use anyhow::ensure;
use futures_util::future::join_all;
use pipeline_tests::order_api::{CUSTOMER, OrderApi, faults, problem};
use serde_json::{Value, json};
use uuid::Uuid;

const ALL: [&str; 5] = ["created", "processing", "shipped", "delivered", "cancelled"];

/// The transitions that lead to a status.
fn way(status: &str) -> &'static [&'static str] {
    match status {
        "processing" => &["processing"],
        "shipped" => &["processing", "shipped"],
        "delivered" => &["processing", "shipped", "delivered"],
        "cancelled" => &["cancelled"],
        _ => &[],
    }
}

#[tokio::test]
async fn an_order_moves_only_as_allowed_and_a_conflict_says_where_it_may_go() -> anyhow::Result<()>
{
    let api = OrderApi::start().await?;
    let allowed = [
        ("created", "processing"),
        ("created", "cancelled"),
        ("processing", "shipped"),
        ("processing", "cancelled"),
        ("shipped", "delivered"),
    ];
    for from in ALL {
        for to in ALL {
            let id = api.create().await?;
            for status in way(from) {
                api.patch(&id, status).await?.error_for_status()?;
            }
            let before: Value = api.get(&format!("/api/orders/{id}")).await?.json().await?;
            let answer = api.patch(&id, to).await?;
            let now: Value;
            if from == to {
                assert_eq!(answer.status(), 200, "{from} again");
                assert_eq!(answer.json::<Value>().await?, before, "nothing is changed");
            } else if allowed.contains(&(from, to)) {
                assert_eq!(answer.status(), 200, "{from} to {to}");
                now = answer.json().await?;
                assert_eq!(now["status"], to);
                assert!(now["updated_at"].as_str() > now["created_at"].as_str(), "{now}");
            } else {
                let detail = problem(answer, 409).await?["detail"].to_string();
                assert!(detail.contains(from) && detail.contains(to), "{detail}");
                for (_, next) in allowed.iter().filter(|(start, _)| *start == from) {
                    assert!(detail.contains(next), "{detail} does not offer {next}");
                }
                now = api.get(&format!("/api/orders/{id}")).await?.json().await?;
                assert_eq!(now["status"], from);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_change_is_told_with_it_and_a_refused_one_is_not() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let id = api.create().await?;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = json!({"order": {"status": "processing"}});
    let url = format!("{}/api/orders/{id}", api.url);
    let patch = api.http.patch(url).json(&body).header("traceparent", parent);
    patch.send().await?.error_for_status()?;
    problem(api.patch(&id, "delivered").await?, 409).await?;
    api.patch(&id, "shipped").await?.error_for_status()?;
    // The same status again causes no second event.
    api.patch(&id, "shipped").await?.error_for_status()?;

    let sql =
        "SELECT * FROM outbox WHERE aggregate_type = 'order' AND aggregate_id = $1 ORDER BY id";
    let rows = api.sql().await?.query(sql, &[&id]).await?;
    let types: Vec<&str> = rows.iter().map(|row| row.get("event_type")).collect();
    assert_eq!(types, ["order.created", "order.processing", "order.shipped"]);
    assert_eq!(rows[1].get::<_, Value>("headers"), json!({"traceparent": parent}));
    assert_eq!(rows[1].get::<_, Uuid>("event_id").get_version_num(), 7);
    assert_eq!(
        rows[2].get::<_, Value>("payload"),
        json!({
            "order_public_id": id, "customer_public_id": CUSTOMER, "product_name": "Laptop", "quantity": 2,
            "price": "1200.00", "status": "shipped",
        })
    );
    Ok(())
}

#[tokio::test]
async fn a_change_whose_event_fails_is_not_made() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let id = api.create().await?;
    let sql = api.sql().await?;
    let rule = "ALTER TABLE outbox ADD CONSTRAINT silent CHECK (event_type <> 'order.cancelled')";
    sql.batch_execute(rule).await?;
    problem(api.patch(&id, "cancelled").await?, 500).await?;
    let now: Value = api.get(&format!("/api/orders/{id}")).await?.json().await?;
    assert_eq!(now["status"], "created");
    Ok(())
}

#[tokio::test]
async fn of_many_changes_at_once_one_is_made_and_told() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let sql = api.sql().await?;
    for _ in 0..5 {
        let id = api.create().await?;
        let changes = ["processing", "cancelled"].repeat(8);
        let answers = join_all(changes.iter().map(|status| api.patch(&id, status))).await;
        let mut made = HashSet::new();
        for (status, answer) in changes.iter().zip(answers) {
            match answer?.status().as_u16() {
                200 => drop(made.insert(format!("order.{status}"))),
                other => ensure!(other == 409, "{other}"),
            }
        }
        let query = "SELECT event_type FROM outbox WHERE aggregate_id = $1 ORDER BY id";
        let rows = sql.query(query, &[&id]).await?;
        let told: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        // An order that is being processed can still be cancelled once.
        let possible = [
            &["order.created", "order.cancelled"][..],
            &["order.created", "order.processing", "order.cancelled"],
        ];
        assert!(possible.contains(&&told[..]), "{told:?}");
        assert_eq!(made, told[1..].iter().map(ToString::to_string).collect());
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_not_there_is_not_found() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    for id in
        ["019c1b27-3a4c-7d10-9f6e-5b1d2c8a4e37", "7", "%00", "11111111111111111111111111111111"]
    {
        problem(api.patch(id, "shipped").await?, 404).await?;
        problem(api.get(&format!("/api/orders/{id}")).await?, 404).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_change_names_a_status_and_nothing_else() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let url = format!("{}/api/orders/{}", api.url, api.create().await?);
    for (body, expected) in [
        (json!({}), "order is missing"),
        (json!({"order": {}}), "order.status is missing"),
        (json!({"order": {"status": 3}}), "order.status must be a string, not a number"),
        (json!({"order": {"status": "shipped", "quantity": 3}}), "order.quantity is unknown"),
        (
            json!({"order": {"status": "Shipped"}}),
            "order.status must be one of created, processing, shipped, delivered, cancelled",
        ),
    ] {
        let told = faults(api.http.patch(&url).json(&body).send().await?).await?;
        assert_eq!(told, [expected]);
    }
    Ok(())
}
