//! The tables and queues at the end, as the checker reads them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use pipeline_tests::pipeline::connect;
use serde_json::{Value, json};
use stack::Management;

use crate::topology::Topology;

const OF_ORDERS: [(&str, &str); 3] = [
    ("orders", "SELECT to_jsonb(t)::text FROM orders AS t"),
    ("outbox", "SELECT to_jsonb(t)::text FROM outbox AS t"),
    ("discarded", "SELECT to_jsonb(t)::text FROM outbox_audit AS t WHERE action = 'discard'"),
];
const OF_CUSTOMERS: [(&str, &str); 3] = [
    ("customers", "SELECT to_jsonb(t)::text FROM customers AS t"),
    ("processed_events", "SELECT to_jsonb(t)::text FROM processed_events AS t"),
    ("dead_letters", "SELECT to_jsonb(t)::text FROM dead_letters AS t"),
];

/// Writes them to the folder.
pub(crate) async fn write(topology: &Topology, folder: &Path) -> anyhow::Result<()> {
    for (postgres, tables) in [(&topology.orders, OF_ORDERS), (&topology.customers, OF_CUSTOMERS)] {
        let session = connect(&postgres.url).await?;
        for (name, select) in tables {
            let mut text = String::new();
            for row in session.query(select, &[]).await? {
                writeln!(text, "{}", row.get::<_, String>(0))?;
            }
            std::fs::write(folder.join(format!("tables/{name}.jsonl")), text)?;
        }
    }
    let queues = json!(queues(topology).await?);
    Ok(std::fs::write(folder.join("queues.json"), queues.to_string())?)
}

/// How many messages each queue has, by its name.
pub(crate) async fn queues(topology: &Topology) -> anyhow::Result<Value> {
    let management = Management::new(&topology.management_urls[0])?;
    let queues = management.get("/api/queues").await?.context("a list of queues")?;
    let queues =
        queues.as_array().context("a list of queues")?.iter().filter_map(|queue| {
            Some((queue["name"].as_str()?.to_owned(), queue["messages"].clone()))
        });
    Ok(Value::Object(queues.collect()))
}
