//! The customer check under load: one call per customer, which continues when its clients
//! disconnect; further customers wait, and no order is accepted unchecked because of the load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use pipeline_tests::blocked_order::metric;
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::customer_stub::{Behaviour, CustomerStub};
use pipeline_tests::order_api::{OrderApi, accepted, count, faults, order, problem};
use pipeline_tests::pipeline::PATIENCE;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Longer than any response takes on a busy machine.
const PATIENT: &str = "50s";

async fn start(stub: &CustomerStub, mode: &str, timeout: &str) -> anyhow::Result<OrderApi> {
    let settings = ["--customer-service-url", &stub.url, "--customer-check", mode];
    let limits = ["--customer-timeout", timeout, "--customer-connect-timeout", timeout];
    OrderApi::start_with(&[settings, limits].concat()).await
}

fn order_of(customer: Uuid) -> Value {
    let mut body = order();
    body["order"]["customer_public_id"] = json!(customer);
    body
}

/// Sends an order from a separate task.
fn send(api: &OrderApi, customer: Uuid) -> JoinHandle<reqwest::Result<Response>> {
    let post = api.post(&order_of(customer));
    tokio::spawn(async move { post.send().await })
}

async fn lookups(api: &OrderApi, result: &str) -> anyhow::Result<i64> {
    metric(api, &format!("customer_lookups_total{{result=\"{result}\"}}")).await
}

/// Waits until this many lookups have this result.
async fn looked_up(api: &OrderApi, result: &str, number: i64) -> anyhow::Result<()> {
    until(async || Ok((lookups(api, result).await? >= number).then_some(()))).await
}

/// Sends an order whose client disconnects once the customer service got `questions` requests.
async fn hang_up(api: &OrderApi, stub: &CustomerStub, questions: usize) -> anyhow::Result<()> {
    let post = send(api, order_customer());
    until(async || Ok((stub.questions() >= questions).then_some(()))).await?;
    post.abort();
    Ok(())
}

fn order_customer() -> Uuid {
    pipeline_tests::order_api::CUSTOMER.parse().expect("a UUID")
}

#[tokio::test]
async fn a_silent_service_is_left_alone_however_impatient_the_clients_are() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Silent).await?;
    let api = start(&stub, "prefer", "2s").await?;
    // Each disconnects before the call's timeout.
    let impatient = Duration::from_millis(1600);
    let mut served = None;
    for number in 1..=15 {
        let post = api.post(&order_of(Uuid::new_v4())).timeout(impatient);
        if let Ok(answer) = post.send().await {
            accepted(answer).await?;
            served = Some(number);
            break;
        }
    }
    anyhow::ensure!(served.is_some(), "nobody was served");
    // A lookup that nobody waits for is counted too.
    let asked = stub.questions();
    until(async || {
        let seen = lookups(&api, "unavailable").await? + lookups(&api, "left_alone").await?;
        Ok((usize::try_from(seen)? >= asked).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_stampede_for_one_customer_costs_one_call() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Held).await?;
    let api = start(&stub, "prefer", PATIENT).await?;
    let id = api_order(&api, &stub).await?;
    let (asked, shared) = (stub.questions(), lookups(&api, "shared").await?);
    stub.behave(Behaviour::Held);
    let stranger = Uuid::new_v4();
    let orders: Vec<_> = (0..50).map(|_| send(&api, stranger)).collect();
    looked_up(&api, "shared", shared + 49).await?;
    stub.behave(Behaviour::Healthy);
    for answer in try_join_all(orders).await? {
        faults(answer?).await?;
    }
    // Cached for a moment.
    faults(send(&api, stranger).await??).await?;
    assert_eq!(stub.questions(), asked + 1);
    let shown: Value = api.get(&format!("/api/orders/{id}")).await?.json().await?;
    assert_eq!(shown["customer"]["name"], "Juan Perez");
    Ok(())
}

/// An order of the known customer, created while another request for the same customer is waiting.
async fn api_order(api: &OrderApi, stub: &CustomerStub) -> anyhow::Result<String> {
    let (first, second) = (send(api, order_customer()), send(api, order_customer()));
    looked_up(api, "shared", 1).await?;
    stub.behave(Behaviour::Healthy);
    accepted(first.await??).await?;
    let order = accepted(second.await??).await?;
    assert_eq!(stub.questions(), 1);
    Ok(order["id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_customer_who_was_created_a_moment_ago_is_found() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::KnowsNobody).await?;
    let api = start(&stub, "require", PATIENT).await?;
    faults(send(&api, order_customer()).await??).await?;
    stub.behave(Behaviour::Healthy);
    until(async || Ok((send(&api, order_customer()).await??.status() == 201).then_some(())))
        .await?;
    assert_eq!(stub.questions(), 2);
    Ok(())
}

#[tokio::test]
async fn a_slow_answer_is_of_use_though_its_client_has_left() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Held).await?;
    let api = start(&stub, "require", PATIENT).await?;
    hang_up(&api, &stub, 1).await?;
    stub.behave(Behaviour::Healthy);
    looked_up(&api, "known", 1).await?;
    accepted(send(&api, order_customer()).await??).await?;
    assert_eq!(stub.questions(), 1);
    Ok(())
}

#[tokio::test]
async fn a_probe_decides_though_its_client_has_left() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Status(500)).await?;
    let api = start(&stub, "require", PATIENT).await?;
    for _ in 0..5 {
        problem(send(&api, order_customer()).await??, 503).await?;
    }
    stub.behave(Behaviour::Held);
    until(async || {
        let post = api.post(&order_of(order_customer())).timeout(Duration::from_millis(200));
        Ok((post.send().await.is_err() && stub.questions() == 6).then_some(()))
    })
    .await?;
    stub.behave(Behaviour::Healthy);
    looked_up(&api, "known", 1).await?;
    accepted(send(&api, order_customer()).await??).await?;
    assert_eq!(stub.questions(), 6);
    Ok(())
}

#[tokio::test]
async fn many_unknown_customers_wait_for_a_lookup_and_none_is_accepted() -> anyhow::Result<()> {
    for mode in ["prefer", "require"] {
        // There is enough time for all.
        let stub = CustomerStub::start(Behaviour::KnowsNobody).await?;
        let api = start(&stub, mode, PATIENT).await?;
        assert_eq!(answers_to_a_crowd(&api).await?, BTreeMap::from([(422, CROWD)]));
        assert_eq!(count(&api.sql().await?, "orders").await?, 0);

        // There is not: the service answers about eighty in that time.
        let one_by_one = Behaviour::KnowsNobodyInTurns(Duration::from_millis(50));
        let stub = CustomerStub::start(one_by_one).await?;
        let api = start(&stub, mode, "4s").await?;
        let answers = answers_to_a_crowd(&api).await?;
        assert_eq!(answers.values().sum::<usize>(), CROWD);
        assert!(answers.keys().all(|status| [422, 503].contains(status)), "{mode}: {answers:?}");
        assert!(answers.len() == 2, "{mode}: {answers:?}");
        assert_eq!(count(&api.sql().await?, "orders").await?, 0);
        // The load was the cause, not the service, which is called as before.
        assert_eq!(lookups(&api, "unavailable").await?, 0, "{mode}");
        assert_eq!(lookups(&api, "left_alone").await?, 0, "{mode}");
    }
    Ok(())
}

const CROWD: usize = 150;

/// Sends orders of many unknown customers at once. Returns the number of responses by status.
async fn answers_to_a_crowd(api: &OrderApi) -> anyhow::Result<BTreeMap<u16, usize>> {
    let orders: Vec<_> = (0..CROWD).map(|_| send(api, Uuid::new_v4())).collect();
    let mut answers = BTreeMap::new();
    for answer in try_join_all(orders).await? {
        let answer = answer?;
        let status = answer.status().as_u16();
        if status == 503 {
            problem(answer, status).await?;
        }
        *answers.entry(status).or_default() += 1;
    }
    Ok(answers)
}

#[tokio::test]
async fn an_outage_costs_known_customers_nothing_until_they_are_forgotten() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Healthy).await?;
    let settings = ["--customer-service-url", &stub.url, "--customer-check", "require"];
    let limits = ["--customer-cache-ttl", "4s", "--customer-timeout", PATIENT];
    let api = OrderApi::start_with(&[settings, limits].concat()).await?;
    let known = Instant::now();
    accepted(send(&api, order_customer()).await??).await?;
    stub.behave(Behaviour::CutOff);
    let refused = loop {
        let answer = send(&api, order_customer()).await??;
        if answer.status() != 201 {
            break answer;
        }
        assert!(known.elapsed() < PATIENCE, "remembered for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(known.elapsed() >= Duration::from_secs(4), "forgotten too early");
    problem(refused, 503).await?;
    // Refreshed in the background, without success.
    assert!(lookups(&api, "unavailable").await? >= 1);
    assert!(stub.questions() >= 2);
    stub.behave(Behaviour::Healthy);
    until(async || Ok((send(&api, order_customer()).await??.status() == 201).then_some(()))).await
}
