//! The partitions described in `docs/scaling.md` can be created while the pipeline runs.

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::until;
use pipeline_tests::order_api::{CUSTOMER, accepted, order};
use pipeline_tests::pipeline::{Pipeline, connect, orders_count};
use serde_json::Value;
use tokio_postgres::Client;

const NEXT_MONTH: &str = "first_uuid_at(now() + interval '1 month')";

/// The guide's statements for `orders`, block by block.
fn of_the_guide() -> anyhow::Result<Vec<String>> {
    let guide = std::fs::read_to_string(stack::root().join("docs/scaling.md"))?;
    let (_, section) = guide.split_once("\n## Partitions\n").context("there is no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("\n```sql\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("\n```")?.0.to_owned()));
    let blocks: Vec<String> = blocks.collect();
    ensure!(blocks.len() == 2, "{} blocks", blocks.len());
    Ok(blocks)
}

/// The same for `processed_events`, adapted as the guide says.
fn for_events(block: &str) -> String {
    let block = block.replace("orders", "processed_events");
    block.replace("(id)", "(event_id)").replace("(id <", "(event_id <")
}

/// Creates three orders and waits until they are counted. Returns the ids, newest first.
async fn order_thrice(pipeline: &Pipeline) -> anyhow::Result<Vec<String>> {
    let expected = orders_count(&pipeline.customer_url, CUSTOMER).await? + 3;
    let http = stack::http_client()?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let post = http.post(format!("{}/api/orders", pipeline.order_url)).json(&order());
        let made = accepted(post.send().await?).await?;
        ids.insert(0, made["id"].as_str().context("an id")?.to_owned());
    }
    until(async || {
        let count = orders_count(&pipeline.customer_url, CUSTOMER).await?;
        ensure!(count <= expected, "counted {count} of {expected}");
        Ok((count == expected).then_some(()))
    })
    .await?;
    Ok(ids)
}

async fn partition(sql: &Client, table: &str, id: &str) -> anyhow::Result<String> {
    let query = format!("SELECT tableoid::regclass::text FROM {table} WHERE {id}");
    Ok(sql.query_one(&query, &[]).await?.get(0))
}

/// The lines of a query's plan.
async fn plan(sql: &Client, query: &str) -> anyhow::Result<String> {
    let rows = sql.query(&format!("EXPLAIN (COSTS OFF) {query}"), &[]).await?;
    Ok(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn tables_are_divided_by_time_under_a_pipeline_that_goes_on() -> anyhow::Result<()> {
    let pipeline = Pipeline::start().await?;
    let orders = connect(&pipeline.orders.url).await?;
    let customers = connect(&pipeline.customers.url).await?;
    let mut ids = order_thrice(&pipeline).await?;
    for block in of_the_guide()? {
        orders.batch_execute(&block).await.context(block)?;
    }
    for block in of_the_guide()? {
        let block = for_events(&block);
        customers.batch_execute(&block).await.context(block)?;
    }
    ids.splice(0..0, order_thrice(&pipeline).await?);
    assert_eq!(partition(&orders, "orders", &format!("id = '{}'", ids[0])).await?, "orders_before");

    // An order of the next month, as the service will create it then.
    let insert = format!(
        "INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
         VALUES ({NEXT_MONTH}, '{CUSTOMER}', 'a bell', 1, 12.5, 'Bogotá') RETURNING id::text"
    );
    ids.insert(0, orders.query_one(&insert, &[]).await?.get(0));
    let later = partition(&orders, "orders", &format!("id = '{}'", ids[0])).await?;
    assert!(later.starts_with("orders_20"), "{later}");

    let http = stack::http_client()?;
    let get = async |path: &str| -> anyhow::Result<Value> {
        let answer = http.get(format!("{}{path}", pipeline.order_url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    };
    for path in ["/api/orders", &format!("/api/orders?customer_public_id={CUSTOMER}")] {
        let page = get(path).await?;
        let listed = page.as_array().context("an array")?.iter();
        let listed: Vec<&str> = listed.filter_map(|order| order["id"].as_str()).collect();
        assert_eq!(listed, ids, "{path}");
    }
    for id in &ids {
        assert_eq!(get(&format!("/api/orders/{id}")).await?["id"], id.as_str());
    }
    let one = plan(&orders, &format!("SELECT * FROM orders WHERE id = '{}'", ids[0])).await?;
    assert_eq!(one.matches("on orders").count(), 1, "{one}");
    let page = plan(&orders, "SELECT * FROM orders ORDER BY id DESC LIMIT 50").await?;
    assert!(page.contains("->  Append"), "from the newest partition backwards: {page}");

    // An event of the next month that is delivered twice.
    let count = format!(
        "INSERT INTO processed_events (event_id) VALUES ({NEXT_MONTH}) ON CONFLICT DO NOTHING"
    );
    let twice = format!("BEGIN; {count}; {count}; COMMIT");
    customers.batch_execute(&twice).await?;
    let later =
        partition(&customers, "processed_events", "event_id > first_uuid_at(now())").await?;
    assert!(later.starts_with("processed_events_20"), "{later}");
    Ok(())
}
