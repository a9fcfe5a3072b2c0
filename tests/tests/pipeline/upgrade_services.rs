//! Upgrading the HTTP services: those of the previous release and of this one share the databases,
//! log in as the new roles, and call each other.

use anyhow::{Context as _, ensure};
use pipeline_tests::order_api::{CUSTOMER, order};
use pipeline_tests::pipeline::{PATIENCE, address, connect, ready};
use pipeline_tests::previous_release::PreviousRelease;
use pipeline_tests::service_role::Migrated;
use serde_json::{Value, json};
use stack::Service;
use uuid::Uuid;

const ORDER_ROLES: &str = include_str!("../../../sql/order/roles.sql");
const CUSTOMER_ROLES: &str = include_str!("../../../sql/customer/roles.sql");

type Tested = anyhow::Result<()>;

/// The URL of a service's API.
async fn api(service: &Service) -> anyhow::Result<String> {
    ready(service).await?;
    address(service, "HTTP port is open").await
}

/// Orders work with both: only for a known customer, once per key on either service, readable and
/// changeable on either.
async fn orders_go_through(services: &[&str]) -> Tested {
    let http = stack::http_client()?;
    let mut unknown = order();
    unknown["order"]["customer_public_id"] = json!(Uuid::from_u128(9));
    let key = Uuid::new_v4().to_string();
    let mut made: Vec<Value> = Vec::new();
    for service in services {
        let orders = format!("{service}/api/orders");
        let answer = http.post(&orders).json(&unknown).send().await?;
        ensure!(answer.status() == 422, "{service}: {}", answer.text().await?);
        let answer =
            http.post(&orders).header("Idempotency-Key", &key).json(&order()).send().await?;
        ensure!(answer.status() == 201, "{service}: {}", answer.text().await?);
        made.push(answer.json().await?);
    }
    assert!(made.iter().all(|told| told["id"] == made[0]["id"]), "{made:?}");
    let id = made[0]["id"].as_str().context("an id")?;
    for (service, status) in services.iter().zip(["processing", "shipped"]) {
        let one = format!("{service}/api/orders/{id}");
        let told: Value = http.get(&one).send().await?.error_for_status()?.json().await?;
        assert_eq!(told["customer"]["name"], "Juan Perez", "{service}");
        for filter in ["", "&status=created", &format!("&customer_public_id={CUSTOMER}")] {
            let list = format!("{service}/api/orders?limit=3{filter}");
            http.get(list).send().await?.error_for_status()?;
        }
        let change = json!({"order": {"status": status}});
        http.patch(&one).json(&change).send().await?.error_for_status()?;
    }
    Ok(())
}

#[tokio::test]
async fn services_of_both_releases_share_their_databases_and_ask_each_other() -> Tested {
    let before = PreviousRelease::get().await?;
    let (orders, customers) =
        (Migrated::by("order-service").await?, Migrated::by("customer-service").await?);
    orders.owner.batch_execute(ORDER_ROLES).await?;
    customers.owner.batch_execute(CUSTOMER_ROLES).await?;
    let order_url = orders.database.url_as("order_service").await?;
    let customer_url = customers.database.url_as("customer_api").await?;
    let new_program = |name| stack::binary(name);

    let settings = |url: &str| {
        [
            ("DATABASE_URL", url.to_owned()),
            ("MIGRATE_ON_START", "false".to_owned()),
            ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
            ("OPS_ADDR", "127.0.0.1:0".to_owned()),
        ]
    };
    let (customer_before, order_before) = (before.customer_service(), before.order_service());
    let customer_now = new_program("customer-service").await?;
    let order_now = new_program("order-service").await?;
    connect(&customers.database.url)
        .await?
        .batch_execute(include_str!("../../../sql/customer/queries/seed_customers.sql"))
        .await?;
    let asked_before = Service::spawn(customer_before, ["api"], settings(&customer_url)).await?;
    let asked_now = Service::spawn(customer_now, ["api"], settings(&customer_url)).await?;
    let mut services = Vec::new();
    // Each calls the one of the other release.
    for (program, asked) in [(order_before, &asked_now), (order_now, &asked_before)] {
        let mut settings = settings(&order_url).to_vec();
        settings.push(("CUSTOMER_SERVICE_URL", api(asked).await?));
        settings.push(("CUSTOMER_CHECK", "require".to_owned()));
        services.push(Service::spawn(program, ["serve"], settings).await?);
    }
    let (old, new) = (api(&services[0]).await?, api(&services[1]).await?);
    orders_go_through(&[&old, &new]).await?;
    orders_go_through(&[&new, &old]).await?;

    // The rollback: the old ones continue alone.
    for now in [&services[1], &asked_now] {
        now.sigterm()?;
        let status = now.wait_exit(PATIENCE).await?;
        ensure!(status.success(), "{}", now.last_lines());
    }
    let again = format!("{old}/api/orders");
    let answer = stack::http_client()?.get(again).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}
