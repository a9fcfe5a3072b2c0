//! What processes, sessions and tables use at a moment.

use tokio_postgres::Client;

use crate::pipeline::{Apis, Pipeline, Workers};
use crate::setup::{backend, connect_alone};
use crate::usage::{memory, open_files, threads};

const MEGABYTE: f64 = 1e6;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Resident memory of a process, in megabytes.
    Memory,
    /// Open file descriptors of a process that has connections of its own only.
    Files,
    /// The same of a service, whose clients open and close connections.
    ServiceFiles,
    /// Threads of a process.
    Threads,
    /// Sessions of the programs with a database.
    Sessions,
    /// Rows of a table that wait for vacuum.
    DeadRows,
    /// The size of a table with its indexes, in megabytes.
    Size,
    /// Orders that were accepted and not counted.
    Backlog,
}

/// Each value of a [`Sample`]: what, and of whom.
pub(super) const SERIES: [(Kind, &str); 21] = [
    (Kind::Memory, "order-service"),
    (Kind::Memory, "outbox-relay"),
    (Kind::Memory, "customer-service consumer"),
    (Kind::Memory, "customer-service api"),
    (Kind::ServiceFiles, "order-service"),
    (Kind::Files, "outbox-relay"),
    (Kind::Files, "customer-service consumer"),
    (Kind::ServiceFiles, "customer-service api"),
    (Kind::Threads, "order-service"),
    (Kind::Threads, "outbox-relay"),
    (Kind::Threads, "customer-service consumer"),
    (Kind::Threads, "customer-service api"),
    (Kind::Sessions, "orders"),
    (Kind::DeadRows, "outbox"),
    (Kind::Size, "outbox"),
    (Kind::Sessions, "customers"),
    (Kind::DeadRows, "processed_events"),
    (Kind::Size, "processed_events"),
    (Kind::DeadRows, "customers"),
    (Kind::Size, "customers"),
    (Kind::Backlog, "orders"),
];

/// What was read at a moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Since the load began.
    pub(super) seconds: f64,
    /// In the order of [`SERIES`].
    pub(super) values: Vec<f64>,
}

/// Sessions of their own, by which the tables are looked at.
#[derive(Debug)]
pub(super) struct Meters {
    orders: Client,
    customers: Client,
    /// The backend pids of the benchmark's sessions.
    pub(super) own_sessions: Vec<i32>,
}

impl Meters {
    pub(super) async fn new(pipeline: &Pipeline<'_>) -> anyhow::Result<Self> {
        let orders = connect_alone(&pipeline.orders.url).await?;
        let customers = connect_alone(&pipeline.customers.url).await?;
        let own = [&orders, &customers, &pipeline.orders.sql, pipeline.customers.session()];
        let mut own_sessions = Vec::new();
        for session in own {
            own_sessions.push(i32::try_from(backend(session).await?)?);
        }
        Ok(Self { orders, customers, own_sessions })
    }

    /// Reads all values of a sample.
    pub(super) async fn read(
        &self,
        apis: &Apis,
        workers: &Workers,
        backlog: f64,
    ) -> anyhow::Result<Vec<f64>> {
        let pids = [
            apis.order_service.pid(),
            workers.relay.pid(),
            workers.consumer.pid(),
            apis.customer_api.pid(),
        ];
        let mut values = Vec::with_capacity(SERIES.len());
        for pid in pids {
            values.push(memory(pid)? as f64 / MEGABYTE);
        }
        for pid in pids {
            values.push(open_files(pid)? as f64);
        }
        for pid in pids {
            values.push(threads(pid)? as f64);
        }
        values.extend(self.table(&self.orders, "outbox").await?);
        values.extend(self.table(&self.customers, "processed_events").await?);
        let [_, dead_rows, size] = self.table(&self.customers, "customers").await?;
        values.extend([dead_rows, size, backlog]);
        Ok(values)
    }

    /// The sessions with a database, and the dead rows and the size of one of its tables.
    async fn table(&self, database: &Client, name: &str) -> anyhow::Result<[f64; 3]> {
        let read = include_str!("../../sql/soak_table.sql");
        let row = database.query_one(read, &[&name, &self.own_sessions]).await?;
        let (sessions, dead_rows, bytes): (i64, i64, i64) =
            (row.try_get("sessions")?, row.try_get("dead_rows")?, row.try_get("bytes")?);
        Ok([sessions as f64, dead_rows as f64, bytes as f64 / MEGABYTE])
    }
}
