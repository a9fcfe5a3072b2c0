//! The cost of an order: CPU time of each process, and WAL.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::processes::{Apis, Pipeline, Workers};
use crate::summary::rounded;
use crate::usage::{cpu, cpu_with_children};

/// The resources used up to a moment.
#[derive(Debug, Clone)]
pub(crate) struct Usage {
    cpu: Vec<(&'static str, Duration)>,
    wal: i64,
}

/// The resources used per order.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    /// CPU time in microseconds, by process.
    pub(crate) cpu: Vec<(&'static str, f64)>,
    /// WAL in bytes, of both databases, including vacuum.
    pub(crate) wal: f64,
}

impl Usage {
    /// The usage up to now.
    pub(crate) async fn by(
        pipeline: &Pipeline<'_>,
        apis: &Apis,
        workers: &Workers,
    ) -> anyhow::Result<Self> {
        let servers = pipeline.servers;
        let postgres = cpu_with_children(servers.postgres_pid()?)?;
        // The benchmark's own sessions are not part of the pipeline.
        let own: Duration =
            pipeline.own_sessions().await?.into_iter().map(cpu).sum::<anyhow::Result<_>>()?;
        let cpu = vec![
            ("order-service", cpu(apis.order_service.pid())?),
            ("outbox-relay", cpu(workers.relay.pid())?),
            ("customer-service consumer", cpu(workers.consumer.pid())?),
            ("customer-service api", cpu(apis.customer_api.pid())?),
            ("PostgreSQL", postgres.saturating_sub(own)),
            ("RabbitMQ", cpu(servers.rabbit_pid()?)?),
            ("load generator", cpu(std::process::id())?),
        ];
        let position = "SELECT (pg_current_wal_lsn() - '0/0')::bigint";
        let wal = pipeline.orders.sql.query_one(position, &[]).await?.try_get(0)?;
        Ok(Self { cpu, wal })
    }

    /// The usage from `before` to `self`, per order.
    pub(crate) fn since(&self, then: &Self, orders: u64) -> Cost {
        let orders = orders as f64;
        let cpu = self.cpu.iter().zip(&then.cpu);
        Cost {
            cpu: cpu
                .map(|((name, now), (_, then))| (*name, (*now - *then).as_micros() as f64 / orders))
                .collect(),
            wal: (self.wal - then.wal) as f64 / orders,
        }
    }
}

impl Cost {
    /// All but the load generator's.
    pub(crate) fn cpu_of_the_pipeline(&self) -> f64 {
        self.cpu.iter().filter(|(name, _)| *name != "load generator").map(|(_, cpu)| cpu).sum()
    }

    pub(crate) fn json(&self) -> Value {
        let cpu: Map<String, Value> =
            self.cpu.iter().map(|(name, cpu)| ((*name).to_owned(), rounded(*cpu).into())).collect();
        json!({ "cpu_us": cpu, "cpu_us_of_the_pipeline": rounded(self.cpu_of_the_pipeline()), "wal_bytes": rounded(self.wal) })
    }
}
