//! Orders over HTTP: with and without an idempotency key, and status changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Shared, one_of, rng};

/// The customers of the seed data.
pub(super) const CUSTOMERS: [&str; 3] = [
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",
];
/// The ways of an order through its statuses.
const WAYS: [&[&str]; 4] =
    [&[], &["processing"], &["processing", "shipped", "delivered"], &["cancelled"]];
/// An answer that takes longer is a trouble.
const SLOW: Duration = Duration::from_secs(1);
/// The pause before a client tries again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a client tries.
const PATIENCE: Duration = Duration::from_secs(180);

/// Posts an order, and changes its status some times.
pub(super) async fn order(shared: Arc<Shared>, number: u64) -> anyhow::Result<()> {
    let mut rng = rng(number);
    let customer = *one_of(&mut rng, &CUSTOMERS);
    let has_key = rng.random_bool(0.6);
    let url = one_of(&mut rng, &shared.topology.order_urls).clone();
    let way = *one_of(&mut rng, &WAYS);
    let product = format!("product-{number}");
    let Some(id) = create(&shared, &url, &product, customer, has_key).await else { return Ok(()) };
    for status in way {
        let other = one_of(&mut rng, &shared.topology.order_urls).clone();
        if !change(&shared, &format!("{other}/{id}"), &id, status).await {
            break;
        }
    }
    Ok(())
}

/// With a key it is sent until it is answered; without one, once.
async fn create(
    shared: &Shared,
    url: &str,
    product: &str,
    customer: &str,
    has_key: bool,
) -> Option<String> {
    let order = json!({ "order": {
        "customer_public_id": customer, "product_name": product, "quantity": 1, "price": "10.50",
        "delivery_address": "Cra 7 #12-34",
    }});
    let start = Instant::now();
    loop {
        let mut request = shared.topology.http.post(url).json(&order);
        if has_key {
            request = request.header("Idempotency-Key", product);
        }
        let (outcome, id) = answered(shared, request).await;
        shared.history.record(
            "creates",
            &json!({ "product": product, "customer": customer, "outcome": outcome, "order": id }),
        );
        if id.is_some() || !has_key || outcome == "refused" || start.elapsed() > PATIENCE {
            return id;
        }
        sleep(PAUSE).await;
    }
}

/// Sent until it is answered: the same status a second time makes no second event.
async fn change(shared: &Shared, url: &str, id: &str, status: &str) -> bool {
    let start = Instant::now();
    loop {
        let request =
            shared.topology.http.patch(url).json(&json!({ "order": { "status": status } }));
        let (outcome, _) = answered(shared, request).await;
        shared
            .history
            .record("changes", &json!({ "order": id, "status": status, "outcome": outcome }));
        if outcome != "unknown" || start.elapsed() > PATIENCE {
            return outcome == "done";
        }
        sleep(PAUSE).await;
    }
}

/// What the client was told, and the order's id.
async fn answered(
    shared: &Shared,
    request: reqwest::RequestBuilder,
) -> (&'static str, Option<String>) {
    let start = Instant::now();
    let answer = async {
        let response = request.send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.json::<Value>().await?))
    };
    let answer = answer.await;
    if answer.is_err() || start.elapsed() > SLOW {
        shared.troubles.add();
    }
    match answer {
        Ok((status, order)) if status.is_success() => {
            ("done", order["id"].as_str().map(ToOwned::to_owned))
        }
        Ok((
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY,
            _,
        )) => ("refused", None),
        Ok(_) => {
            shared.troubles.add();
            ("unknown", None)
        }
        Err(_) => ("unknown", None),
    }
}
