//! Several relays of one outbox, and the lanes that each owns.

use std::collections::BTreeMap;

use anyhow::Context as _;
use stack::Service;

use crate::deliveries::Deliveries;
use crate::outbox::{Outbox, eventually};

/// The lanes of each relay, by the pid of its session at the server.
pub type Shares = BTreeMap<i32, Vec<i64>>;

impl Outbox {
    /// A fresh outbox with a queue, and a consumer of that queue.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn listened_to() -> anyhow::Result<(Self, Deliveries)> {
        let outbox = Self::new().await?;
        outbox.queue("all", "#").await?;
        let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
        Ok((outbox, deliveries))
    }

    /// Adds one event in each lane, and waits until they are published.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn every_lane_is_served(&self) -> anyhow::Result<()> {
        let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                   SELECT 'ping', min(id), 'order.created', '{}', '{\"number\": 1}'
                   FROM (SELECT gen_random_uuid()::text AS id FROM generate_series(1, 2000)) AS named
                   GROUP BY hashtextextended(id, hashtextextended('ping', 0)) & 63";
        self.sql.batch_execute(add).await?;
        let highest = self.count("SELECT max(id) FROM outbox", &[]).await?;
        eventually("every lane is served", async || {
            let pending = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND id <= $1";
            Ok(self.count(pending, &[&highest]).await? == 0)
        })
        .await
    }

    /// The lanes of each relay, from the view that people use.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn shares(&self) -> anyhow::Result<Shares> {
        let view = "SELECT pid, coalesce(lane_numbers, '{}') FROM outbox_relays";
        let rows = self.sql.query(view, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Waits until this many relays own all lanes, evenly distributed.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn shared_among(&self, relays: usize) -> anyhow::Result<Shares> {
        let mut shares = Shares::new();
        eventually("the relays share the lanes evenly", async || {
            shares = self.shares().await?;
            Ok(shares.len() == relays && is_even(&shares))
        })
        .await
        .with_context(|| format!("{shares:?}"))?;
        Ok(shares)
    }

    /// Starts another relay and waits until it has its share. Also returns its session's pid.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn joined_by(&self, settings: &[(&str, &str)]) -> anyhow::Result<(Service, i32)> {
        let before = self.shares().await?;
        let relay = self.relay_process(settings).await?;
        let shares = self.shared_among(before.len() + 1).await.with_context(|| relay.log())?;
        let pid = shares.into_keys().find(|pid| !before.contains_key(pid));
        Ok((relay, pid.context("the new one has a session of its own")?))
    }
}

/// Whether every lane has one owner, and the relays' counts differ by at most one.
fn is_even(shares: &Shares) -> bool {
    let counts = || shares.values().map(Vec::len);
    let (Some(least), Some(most)) = (counts().min(), counts().max()) else {
        return false;
    };
    counts().sum::<usize>() == 64 && most - least <= 1
}
