//! Measures what an event costs PostgreSQL when it is written, relayed and vacuumed: WAL, dead
//! rows, CPU time.
//!
//! There are no full-page writes here, as all pages are new since the last checkpoint. That matches
//! events relayed soon after they were written.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::output::print_json;
use crate::setup::{Draining, Inserts, Outbox, Queue, RelayArgs, RelayProgram, Servers};
use crate::summary::rounded;
use crate::usage::cpu_with_children;

/// Sessions that write.
const SESSIONS: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct Wal {
    /// Events, each of an aggregate and a transaction of its own
    #[arg(long, default_value_t = 50_000)]
    events: usize,
    #[command(flatten)]
    relay: RelayArgs,
}

/// The cost of a step per event.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wal_bytes: f64,
    cpu_us: f64,
}

/// Row versions written.
#[derive(Debug, Clone, Copy)]
struct Writes {
    updated: i64,
    updated_hot: i64,
    deleted: i64,
    dead: i64,
}

impl Wal {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.events > 0, "there is nothing to measure");
        let program = self.relay.program()?;
        let servers = Servers::start().await?;
        for (settling, program) in [
            ("kept for OUTBOX_RETENTION's default", program.clone()),
            ("OUTBOX_RETENTION=0", program.with("OUTBOX_RETENTION", "0")),
        ] {
            self.measure(&servers, settling, &program).await?;
        }
        Ok(())
    }

    async fn measure(
        &self,
        servers: &Servers,
        settling: &str,
        program: &RelayProgram,
    ) -> anyhow::Result<()> {
        let (outbox, queue) = tokio::try_join!(Outbox::new(servers), Queue::new(servers))?;
        // Vacuum is measured separately and must not run in between.
        outbox.sql.batch_execute("ALTER TABLE outbox SET (autovacuum_enabled = false)").await?;
        outbox.sql.batch_execute("CHECKPOINT").await?;
        eprintln!("{} events are written", self.events);
        let insert = self.cost(servers, &outbox, self.write(&outbox)).await?;
        eprintln!("they are relayed: {settling}");
        let draining = Draining { servers, outbox: &outbox, queue: &queue, relay: program };
        let relay =
            self.cost(servers, &outbox, async { draining.run(self.events, 0, 0).await.map(drop) });
        let relay = relay.await?;
        let writes = self.writes(&outbox).await?;
        let vacuum = self.cost(servers, &outbox, async {
            outbox.sql.batch_execute("VACUUM outbox").await?;
            Ok(())
        });
        let vacuum = vacuum.await?;
        let each = |count: i64| rounded(count as f64 / self.events as f64);
        print_json(&json!({
            "measure": "wal",
            "ratio": rounded(relay.wal_bytes / insert.wal_bytes),
            "settling": settling,
            "events": self.events,
            "relay": program.settings(),
            "insert": cost(insert),
            "relaying": cost(relay),
            "vacuum": cost(vacuum),
            "updated_per_event": each(writes.updated),
            "updated_hot_per_event": each(writes.updated_hot),
            "deleted_per_event": each(writes.deleted),
            "dead_per_event": each(writes.dead),
        }));
        Ok(())
    }

    async fn write(&self, outbox: &Outbox) -> anyhow::Result<()> {
        let mut sessions = JoinSet::new();
        for session in 0..SESSIONS {
            let inserts = Inserts::new(outbox).await?;
            let events = self.events;
            sessions.spawn(async move {
                for _ in (session..events).step_by(SESSIONS) {
                    inserts.add(Uuid::now_v7()).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(session) = sessions.join_next().await {
            session??;
        }
        Ok(())
    }

    async fn cost(
        &self,
        servers: &Servers,
        outbox: &Outbox,
        step: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Cost> {
        let position = "SELECT (pg_current_wal_lsn() - '0/0')::bigint";
        let wal = outbox.count(position).await?;
        let cpu = cpu_with_children(servers.postgres_pid()?)?;
        step.await?;
        let cpu = cpu_with_children(servers.postgres_pid()?)? - cpu;
        let wal = outbox.count(position).await? - wal;
        let events = self.events as f64;
        Ok(Cost { wal_bytes: wal as f64 / events, cpu_us: cpu.as_micros() as f64 / events })
    }

    /// Waits until the statistics include every event: each process reports periodically and at its
    /// end.
    async fn writes(&self, outbox: &Outbox) -> anyhow::Result<Writes> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let row = outbox.sql.query_one(include_str!("../sql/table_writes.sql"), &[]).await?;
            let writes = Writes {
                updated: row.try_get("updated")?,
                updated_hot: row.try_get("updated_hot")?,
                deleted: row.try_get("deleted")?,
                dead: row.try_get("dead")?,
            };
            if usize::try_from(writes.updated + writes.deleted)? >= self.events {
                return Ok(writes);
            }
            ensure!(Instant::now() < end, "the statistics do not tell of every event: {writes:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn cost(cost: Cost) -> Value {
    json!({ "wal_bytes": rounded(cost.wal_bytes), "postgres_cpu_us": rounded(cost.cpu_us) })
}
