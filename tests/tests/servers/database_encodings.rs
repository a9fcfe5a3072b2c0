//! Databases with an encoding other than UTF8.

use anyhow::ensure;
use futures_util::future::try_join_all;
use pipeline_tests::customer_api::{CustomerApi, customer};
use pipeline_tests::order_api::{OrderApi, accepted, count, faults, order};
use pipeline_tests::pipeline::connect;
use serde_json::{Value, json};

/// An order with this in its address.
fn to(address: &str) -> Value {
    let mut body = order();
    body["order"]["delivery_address"] = json!(address);
    body
}

#[tokio::test]
async fn what_a_latin1_database_can_not_hold_is_told_and_harms_nobody_else() -> anyhow::Result<()> {
    let servers = stack::shared().await?;
    let names = ["orders", "customers"].map(|name| format!("latin1_{name}_{}", std::process::id()));
    let server = connect(&servers.postgres.url("postgres")).await?;
    for name in &names {
        let create =
            format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
        server.batch_execute(&create).await?;
    }
    let [orders, customers] = names.each_ref().map(|name| servers.postgres.url(name));

    let api = OrderApi::launch(&orders, &["--customer-check", "off"]).await?;
    api.ready().await?;
    let told = accepted(api.post(&to("Cra 7, Bogotá")).send().await?).await?;
    assert_eq!(told["delivery_address"], "Cra 7, Bogotá");
    // Some of them share a batch.
    let addresses = (0..40).map(|n| if n % 8 == 3 { "Ω 7" } else { "Cra 7" });
    let answers =
        try_join_all(addresses.clone().map(|address| api.post(&to(address)).send())).await?;
    for (address, answer) in addresses.zip(answers) {
        if address == "Cra 7" {
            accepted(answer).await?;
            continue;
        }
        let faults = faults(answer).await?;
        ensure!(faults.len() == 1 && faults[0].contains("encoding"), "{faults:?}");
    }
    let sql = connect(&orders).await?;
    assert_eq!((count(&sql, "orders").await?, count(&sql, "outbox").await?), (36, 36));

    let api = CustomerApi::start(&customers, &[]).await?;
    assert_eq!(api.post(&customer("José", "Calle 1")).await?.status(), 201);
    let faults = faults(api.post(&customer("Ωmega", "Calle 1")).await?).await?;
    ensure!(faults.len() == 1 && faults[0].contains("encoding"), "{faults:?}");
    api.stop().await?;
    for name in &names {
        server.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    }
    Ok(())
}
