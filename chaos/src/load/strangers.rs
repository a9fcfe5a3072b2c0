//! Events of customers who are not known yet: the consumer tries them again until somebody creates
//! the customer.

use std::sync::Arc;
use std::time::Duration;

use pipeline_tests::pipeline::connect;
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{Shared, rng};

const ANSWER: Duration = Duration::from_secs(10);
/// How long somebody tries to create the customer: less than the consumer tries the event.
const PATIENCE: Duration = Duration::from_secs(25);

const EVENT: &str = "
    INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
    VALUES ('stranger', $1, 'order.created', jsonb_build_object('customer_public_id', $1::text))";
const CUSTOMER: &str = "INSERT INTO customers (id, name, address) VALUES ($1, 'a stranger', 'Cali') ON CONFLICT DO NOTHING";

/// Writes an event of a new customer, and creates the customer later.
pub(super) async fn event(shared: Arc<Shared>, number: u64) -> anyhow::Result<()> {
    let customer = Uuid::new_v4();
    let written = timeout(ANSWER, async {
        let session = connect(&shared.topology.orders.url).await?;
        anyhow::Ok(session.execute(EVENT, &[&customer.to_string()]).await?)
    });
    if !matches!(written.await, Ok(Ok(_))) {
        shared.troubles.add();
        return Ok(());
    }
    sleep(Duration::from_millis(rng(number).random_range(0..8_000))).await;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let created = timeout(ANSWER, async {
            let session = connect(&shared.topology.customers.url).await?;
            anyhow::Ok(session.execute(CUSTOMER, &[&customer]).await?)
        });
        if matches!(created.await, Ok(Ok(_))) {
            return Ok(());
        }
        shared.troubles.add();
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
