//! The check of an order's customer at the customer service: cached for a while, and not required
//! for readiness.

use std::time::{Duration, Instant};

use pipeline_tests::blocked_order::metric;
use pipeline_tests::closed_port::ClosedPort;
use pipeline_tests::customer_stub::{Behaviour, CustomerStub};
use pipeline_tests::order_api::{OrderApi, accepted, count, faults, order, problem};
use pipeline_tests::pipeline::PATIENCE;
use serde_json::{Value, json};

/// Longer than any response takes on a busy machine.
const PATIENT: &str = "10s";

/// Behaviours that give no usable answer.
const NO_ANSWERS: [Behaviour; 9] = [
    Behaviour::Silent,
    Behaviour::Garbage,
    Behaviour::Endless,
    Behaviour::CutOff,
    Behaviour::Elsewhere,
    Behaviour::Status(404),
    Behaviour::Status(500),
    Behaviour::Status(503),
    Behaviour::Status(302),
];

/// The timeout for this behaviour: short only for silence, as anything else may be slow.
fn patience_with(behaviour: Behaviour) -> &'static str {
    if behaviour == Behaviour::Silent { "1s" } else { PATIENT }
}

async fn start(stub: &CustomerStub, mode: &str, timeout: &str) -> anyhow::Result<OrderApi> {
    let limits = ["--customer-timeout", timeout];
    let check = ["--customer-service-url", &stub.url, "--customer-check", mode];
    OrderApi::start_with(&[&limits[..], &check].concat()).await
}

fn strangers_order() -> Value {
    let mut body = order();
    body["order"]["customer_public_id"] = json!("99999999-9999-9999-9999-999999999999");
    body
}

#[tokio::test]
async fn an_unknown_customers_order_is_refused_and_a_known_ones_accepted() -> anyhow::Result<()> {
    for mode in ["prefer", "require"] {
        let stub = CustomerStub::start(Behaviour::Healthy).await?;
        let api = start(&stub, mode, PATIENT).await?;
        let told = faults(api.post(&strangers_order()).send().await?).await?;
        assert_eq!(
            told,
            [
                "order.customer_public_id 99999999-9999-9999-9999-999999999999 is not a known customer"
            ]
        );
        accepted(api.post(&order()).send().await?).await?;
        // The previous release answers without a problem type.
        stub.behave(Behaviour::KnowsNobodyUntyped);
        let mut another = strangers_order();
        another["order"]["customer_public_id"] = json!("88888888-8888-8888-8888-888888888888");
        faults(api.post(&another).send().await?).await?;
        assert_eq!(count(&api.sql().await?, "orders").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn prefer_accepts_and_require_rejects_orders_while_there_is_no_answer() -> anyhow::Result<()>
{
    for behaviour in NO_ANSWERS {
        let stub = CustomerStub::start(behaviour).await?;
        let timeout = patience_with(behaviour);
        let prefer = start(&stub, "prefer", timeout).await?;
        accepted(prefer.post(&order()).send().await?).await?;
        let api = start(&stub, "require", timeout).await?;
        problem(api.post(&order()).send().await?, 503).await?;
        assert_eq!(count(&api.sql().await?, "orders").await?, 0, "{behaviour:?}");
        assert_eq!(stub.questions(), 2, "{behaviour:?}");
    }
    let closed = ClosedPort::reserve()?;
    let nowhere = format!("http://{}", closed.address());
    let settings = ["--customer-service-url", &nowhere, "--customer-check"];
    let prefer = OrderApi::start_with(&[&settings[..], &["prefer"]].concat()).await?;
    accepted(prefer.post(&order()).send().await?).await?;
    let require = OrderApi::start_with(&[&settings[..], &["require"]].concat()).await?;
    problem(require.post(&order()).send().await?, 503).await?;
    Ok(())
}

#[tokio::test]
async fn off_never_asks() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::KnowsNobody).await?;
    let api = start(&stub, "off", PATIENT).await?;
    accepted(api.post(&strangers_order()).send().await?).await?;
    assert_eq!(stub.questions(), 0);
    Ok(())
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_left_alone_and_found_again() -> anyhow::Result<()> {
    for behaviour in [Behaviour::Silent, Behaviour::Status(500)] {
        let stub = CustomerStub::start(behaviour).await?;
        let api = start(&stub, "require", patience_with(behaviour)).await?;
        for _ in 0..4 {
            problem(api.post(&order()).send().await?, 503).await?;
        }
        let begun = Instant::now();
        problem(api.post(&order()).send().await?, 503).await?;
        assert_eq!(stub.questions(), 5, "{behaviour:?}");
        for _ in 0..20 {
            problem(api.post(&order()).send().await?, 503).await?;
        }
        // There is no call within the first second, and then only one.
        let (asked, seconds) = (stub.questions() - 5, begun.elapsed().as_secs());
        assert!(u64::try_from(asked)? <= seconds, "{behaviour:?}: {asked} in {seconds} s");

        stub.behave(Behaviour::Healthy);
        while api.post(&order()).send().await?.status() != 201 {
            assert!(begun.elapsed() < PATIENCE, "never asked again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_known_customer_is_remembered_for_a_while() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Healthy).await?;
    let api = start(&stub, "require", PATIENT).await?;
    for _ in 0..3 {
        accepted(api.post(&order()).send().await?).await?;
    }
    assert_eq!(stub.questions(), 1);
    stub.behave(Behaviour::Status(500));
    accepted(api.post(&order()).send().await?).await?;
    stub.behave(Behaviour::Healthy);

    let forgetful = [
        "--customer-service-url",
        &stub.url,
        "--customer-cache-ttl",
        "1ms",
        "--customer-timeout",
        PATIENT,
    ];
    let api = OrderApi::start_with(&forgetful).await?;
    let begun = Instant::now();
    while stub.questions() < 3 {
        accepted(api.post(&order()).send().await?).await?;
        assert!(begun.elapsed() < PATIENCE, "remembered for ever");
    }
    Ok(())
}

#[tokio::test]
async fn a_known_customer_is_asked_for_again_before_the_time_is_over_and_no_order_waits_for_that()
-> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Healthy).await?;
    let settings = ["--customer-service-url", &stub.url, "--customer-check", "require"];
    let limits = ["--customer-cache-ttl", "20s", "--customer-timeout", PATIENT];
    let api = OrderApi::start_with(&[settings, limits].concat()).await?;
    let (begun, life) = (Instant::now(), Duration::from_secs(20));
    let mut orders = 0;
    while stub.questions() < 2 {
        accepted(api.post(&order()).send().await?).await?;
        orders += 1;
        assert!(begun.elapsed() < life, "nobody asked again before the time was over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // All but the first found the customer in the cache, which was refreshed in the background.
    let cached = metric(&api, "customer_lookups_total{result=\"cached\"}").await?;
    assert_eq!(cached, orders - 1);
    Ok(())
}

#[tokio::test]
async fn a_single_order_shows_its_customer_when_there_is_an_answer_in_time() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Healthy).await?;
    let api = start(&stub, "prefer", PATIENT).await?;
    let path = format!("/api/orders/{}", api.create().await?);
    let shown: Value = api.get(&path).await?.json().await?;
    assert_eq!(
        shown["customer"],
        json!({
            "id": "11111111-1111-1111-1111-111111111111", "name": "Juan Perez",
            "address": "Cra 7 #12-34, Bogotá",
        })
    );
    let listed: Vec<Value> = api.get("/api/orders").await?.json().await?;
    assert!(listed[0].get("customer").is_none());

    for behaviour in [&NO_ANSWERS[..], &[Behaviour::KnowsNobody]].concat() {
        let stub = CustomerStub::start(behaviour).await?;
        let api = start(&stub, "off", patience_with(behaviour)).await?;
        let path = format!("/api/orders/{}", api.create().await?);
        let answer = api.get(&path).await?;
        assert_eq!(answer.status(), 200);
        let shown: Value = answer.json().await?;
        assert!(shown.get("customer").is_none(), "{behaviour:?}: {shown}");
    }
    Ok(())
}

#[tokio::test]
async fn readiness_reports_the_neighbour_and_does_not_need_it() -> anyhow::Result<()> {
    let closed = ClosedPort::reserve()?;
    let nowhere = format!("http://{}", closed.address());
    let api = OrderApi::start_with(&["--customer-service-url", &nowhere]).await?;
    let answer = api.http.get(format!("{}/readyz", api.ops_url)).send().await?;
    assert_eq!(answer.status(), 200);
    let told: Value = answer.json().await?;
    assert_eq!(told["dependencies"]["postgresql"]["up"], true);
    assert_eq!(told["dependencies"]["customer-service"]["up"], false);
    assert_eq!(told["dependencies"]["customer-service"]["need"], "optional");
    Ok(())
}
