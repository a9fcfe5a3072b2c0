//! Three of each process on a RabbitMQ cluster of three nodes, as in a scaled-out deployment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::{
    DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, until, until_within,
};
use pipeline_tests::load_clients::LoadClients;
use pipeline_tests::pipeline::PATIENCE;
use pipeline_tests::scaled_out::{ScaledOut, count};
use stack::Service;
use tokio_postgres::Client;
use uuid::Uuid;

const CUSTOMERS: usize = 24;
const CLIENTS: usize = 24;

/// Orders between two crashes: about 4,000 in all.
const BETWEEN: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_is_counted_once_though_a_broker_and_a_relay_and_a_consumer_are_killed_under_load()
-> anyhow::Result<()> {
    let mut shop = ScaledOut::start().await?;
    for queue in [QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE] {
        assert_eq!(shop.members(queue).await?.len(), 3, "{queue} has a member on each node");
    }
    let shoppers = LoadClients::new(&shop.customer_url, CUSTOMERS).await?;
    let urls = shop.replicas.each_ref().map(|replica| replica.url.clone());

    let blows = async {
        let result = strike(&mut shop, &shoppers).await;
        shoppers.enough();
        result
    };
    tokio::try_join!(shoppers.order(&urls, CLIENTS), blows)?;

    all_counted(&shop, &shoppers).await?;
    // A consumer's unacknowledged messages would be requeued when it ends.
    for consumer in shop.consumers.iter().filter(|consumer| consumer.is_running()) {
        consumer.sigterm()?;
        let status = consumer.wait_exit(PATIENCE).await?;
        assert!(status.success(), "{status}: {}", consumer.last_lines());
    }
    for queue in [QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE] {
        assert_eq!(shop.queue(queue).await?.waiting, 0, "{queue} is empty");
    }
    Ok(())
}

/// Kills one of each while orders are sent: first the queue's leader, as all messages go through
/// it.
async fn strike(shop: &mut ScaledOut, shoppers: &LoadClients) -> anyhow::Result<()> {
    shoppers.more(BETWEEN).await?;
    until(async || Ok((processed(shop).await? > 0).then_some(())))
        .await
        .context("none is counted")?;
    let leader = shop.members(QUEUE).await?[0];
    shop.cluster.nodes[leader].kill().await?;
    let (next, last) = ((leader + 1) % 3, (leader + 2) % 3);

    // The relay and the consumer that were connected to it fail over to another one.
    let others = [next, last].map(|place| {
        let port = shop.cluster.nodes[place].access().amqp_port;
        format!("connected to 127.0.0.1:{port}, one of 3 brokers")
    });
    for service in [&shop.replicas[leader].relay, &shop.consumers[leader]] {
        let found = async || {
            let log = service.log();
            Ok(others.iter().any(|said| log.contains(said)).then_some(()))
        };
        until(found).await.with_context(|| service.last_lines())?;
    }
    shoppers.more(BETWEEN).await?;
    kill(&shop.replicas[next].relay).await?;
    shoppers.more(BETWEEN).await?;
    kill(&shop.consumers[last]).await?;
    shoppers.more(BETWEEN).await
}

async fn kill(service: &Service) -> anyhow::Result<()> {
    service.sigkill()?;
    service.wait_exit(PATIENCE).await?;
    Ok(())
}

/// Waits until nothing is in flight, and fails unless each accepted order was counted once for its
/// customer.
async fn all_counted(shop: &ScaledOut, shoppers: &LoadClients) -> anyhow::Result<()> {
    let accepted = shoppers.orders();
    let published = until(async || {
        let pending = count(&shop.orders, "SELECT pending FROM outbox_lag").await?;
        Ok((pending == 0).then_some(()))
    });
    if let Err(error) = published.await {
        return Err(error.context(what_is_pending(shop).await?));
    }
    let stored = ids(&shop.orders, "SELECT id FROM orders").await?;
    assert!(accepted.keys().copied().eq(stored), "the accepted orders are the stored ones");

    let expected = i64::try_from(accepted.len())?;
    // RabbitMQ 4.3 waits for a minute before it requeues what was in flight to a consumer through
    // the dead node.
    until_within(2 * PATIENCE, async || {
        let processed = processed(shop).await?;
        ensure!(processed <= expected, "{processed} events of {expected} orders");
        // Duplicates are consumed from the queue as well.
        let queue = shop.queue(QUEUE).await?;
        Ok((processed == expected && queue.waiting == 0).then_some(()))
    })
    .await
    .with_context(|| format!("{expected} orders are counted"))?;
    let events = ids(&shop.orders, "SELECT event_id FROM outbox").await?;
    let counted = ids(&shop.customers, "SELECT event_id FROM processed_events").await?;
    assert!(events == counted, "the events of these orders were counted");
    let select = "SELECT id, orders_count FROM customers WHERE name LIKE 'Customer %'";
    let rows = shop.customers.query(select, &[]).await?;
    let counted: BTreeMap<Uuid, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(counted, shoppers.counts());
    Ok(())
}

/// The number of events counted so far.
async fn processed(shop: &ScaledOut) -> anyhow::Result<i64> {
    count(&shop.customers, "SELECT count(*) FROM processed_events").await
}

async fn ids(sql: &Client, query: &str) -> anyhow::Result<BTreeSet<Uuid>> {
    Ok(sql.query(query, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Why events are still pending, from the outbox and the relays' logs.
async fn what_is_pending(shop: &ScaledOut) -> anyhow::Result<String> {
    let groups = "SELECT concat_ws(', ', count(*), state, attempts, last_error) FROM outbox_pending
                  GROUP BY state, attempts, last_error";
    let rows = shop.orders.query(groups, &[]).await?;
    let groups = rows.iter().map(|row| row.get::<_, String>(0));
    let logs = shop.replicas.iter().map(|replica| replica.relay.last_lines());
    Ok(groups.chain(logs).collect::<Vec<_>>().join("\n"))
}
