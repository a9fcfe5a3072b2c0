//! The order database.

use anyhow::ensure;
use stack::Service;
use tokio_postgres::Client;
use uuid::Uuid;

use super::programs::Programs;
use crate::setup::{Servers, connect_alone};

/// Rows of history added per statement.
const AT_ONCE: i64 = 500_000;

/// The order database, and a session with it.
#[derive(Debug)]
pub(crate) struct OrderDatabase {
    pub(crate) url: String,
    /// The URL for a relay.
    pub(crate) relay_url: String,
    pub(crate) sql: Client,
    history: i64,
}

impl OrderDatabase {
    /// Creates an empty one.
    pub(crate) async fn new(servers: &Servers, programs: &Programs) -> anyhow::Result<Self> {
        let database = servers.postgres.database("orders").await?;
        let settings = [("DATABASE_URL", &database.url)];
        let migrate = Service::spawn(&programs.order_service, ["migrate"], settings).await?;
        let status = migrate.wait_exit(std::time::Duration::from_secs(60)).await?;
        ensure!(status.success(), "migrate ended with {status}; {}", migrate.last_lines());
        let url = database.url.clone();
        let relay_url = servers.relay_url(&database.name);
        let sql = connect_alone(&url).await?;
        Ok(Self { url, relay_url, sql, history: 0 })
    }

    /// Adds old orders, whose events were published long ago, up to this number.
    pub(crate) async fn remember(
        &mut self,
        orders: i64,
        customers: usize,
        progress: impl Fn(i64),
    ) -> anyhow::Result<()> {
        let (add_orders, add_events) = (
            include_str!("../../sql/fill_orders.sql"),
            include_str!("../../sql/fill_published.sql"),
        );
        let customers = i64::try_from(customers)?;
        while self.history < orders {
            let (first, last) = (self.history + 1, orders.min(self.history + AT_ONCE));
            self.sql.execute(add_orders, &[&first, &last, &customers]).await?;
            self.sql.execute(add_events, &[&first, &last, &customers]).await?;
            self.history = last;
            progress(last);
        }
        Ok(())
    }

    /// Gives each run the same start: fresh statistics, nothing left to vacuum or to write back.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("VACUUM (ANALYZE) orders").await?;
        self.sql.batch_execute("VACUUM (ANALYZE) outbox").await?;
        self.sql.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Returns the ids of some orders.
    pub(crate) async fn some_ids(&self, most: i64) -> anyhow::Result<Vec<String>> {
        let rows = self.sql.query("SELECT id FROM orders LIMIT $1", &[&most]).await?;
        let ids = rows.iter().map(|row| Ok(row.try_get::<_, Uuid>(0)?.to_string()));
        ids.collect()
    }

    /// The number of orders of each of this many customers.
    pub(crate) async fn by_customer(&self, customers: usize) -> anyhow::Result<Vec<u64>> {
        let count = include_str!("../../sql/orders_of_customers.sql");
        let rows = self.sql.query(count, &[&i64::try_from(customers)?]).await?;
        rows.iter().map(|row| Ok(u64::try_from(row.try_get::<_, i64>(0)?)?)).collect()
    }

    /// The number of events that are not published.
    pub(crate) async fn pending(&self) -> anyhow::Result<i64> {
        let count = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
        Ok(self.sql.query_one(count, &[]).await?.try_get(0)?)
    }

    /// Fails unless exactly this many orders were written besides the history, each with one event.
    pub(crate) async fn check(&self, accepted: u64) -> anyhow::Result<()> {
        let check = include_str!("../../sql/check_orders.sql");
        let row = self.sql.query_one(check, &[]).await?;
        let (orders, events, paired): (i64, i64, i64) =
            (row.try_get("orders")?, row.try_get("events")?, row.try_get("paired")?);
        let accepted = i64::try_from(accepted)?;
        ensure!(
            [orders, events, paired] == [accepted; 3],
            "{accepted} orders were accepted, {orders} are written with {events} events, {paired} of them have exactly \
             one: this run has no result"
        );
        Ok(())
    }

    /// Removes all orders.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("TRUNCATE orders, outbox, idempotency_keys").await?;
        Ok(())
    }
}
