//! The faults of a soak. Two programs are killed at the beginning; what happens later leaves all of
//! them alive, so that they can be seen to grow.

use std::time::Duration;

use stack::{Management, Service};
use tokio_postgres::Client;

use super::retention::Retention;
use crate::pipeline::{Apis, Pipeline, Workers};

/// For how long a program is suspended.
const SUSPENDED: Duration = Duration::from_secs(3);

/// A fault that a soak puts into a program, its sessions or its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    KillRelay,
    KillConsumer,
    EndOrderSessions,
    CloseConnections,
    SuspendRelay,
    EndCustomerSessions,
    SuspendConsumer,
    SuspendOrderService,
}

/// The faults that follow in turn, once relay and consumer have been killed.
const IN_TURN: [Fault; 6] = [
    Fault::EndOrderSessions,
    Fault::CloseConnections,
    Fault::SuspendRelay,
    Fault::EndCustomerSessions,
    Fault::SuspendConsumer,
    Fault::SuspendOrderService,
];

impl Fault {
    /// The fault with this number, from 0.
    pub(super) fn nth(number: usize) -> Self {
        match number {
            0 => Self::KillRelay,
            1 => Self::KillConsumer,
            later => IN_TURN[(later - 2) % IN_TURN.len()],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KillRelay => "the relay is killed",
            Self::KillConsumer => "the consumer is killed",
            Self::EndOrderSessions => "all sessions with the order database are ended",
            Self::CloseConnections => "the broker closes all connections",
            Self::SuspendRelay => "the relay is suspended",
            Self::EndCustomerSessions => "all sessions with the customer database are ended",
            Self::SuspendConsumer => "the consumer is suspended",
            Self::SuspendOrderService => "the order service is suspended",
        }
    }
}

/// The pipeline under soak, as a fault needs it.
pub(super) struct Target<'a> {
    pub(super) pipeline: &'a Pipeline<'a>,
    pub(super) apis: &'a Apis,
    pub(super) workers: &'a mut Workers,
    /// Of programs that are started again.
    pub(super) retention: &'a Retention,
    /// The backend pids of the benchmark's sessions, which stay.
    pub(super) own_sessions: &'a [i32],
}

impl Fault {
    /// Puts the fault in, and takes it back.
    pub(super) async fn put_into(self, target: Target<'_>) -> anyhow::Result<()> {
        let Target { pipeline, apis, workers, retention, own_sessions } = target;
        match self {
            Self::KillRelay => {
                workers.relay.sigkill()?;
                workers.relay = pipeline.start_relay(&retention.of_relay()).await?;
            }
            Self::KillConsumer => {
                workers.consumer.sigkill()?;
                workers.consumer = pipeline.start_consumer(&retention.of_consumer()).await?;
            }
            Self::EndOrderSessions => end_sessions(&pipeline.orders.sql, own_sessions).await?,
            Self::EndCustomerSessions => {
                end_sessions(pipeline.customers.session(), own_sessions).await?;
            }
            Self::CloseConnections => {
                let url = pipeline.servers.rabbit.access().management_url();
                Management::new(&url)?.close_connections().await?;
            }
            Self::SuspendRelay => suspend(&workers.relay).await?,
            Self::SuspendConsumer => suspend(&workers.consumer).await?,
            Self::SuspendOrderService => suspend(apis.order_service.process()).await?,
        }
        Ok(())
    }
}

/// Ends all sessions with a database but the benchmark's.
async fn end_sessions(database: &Client, own_sessions: &[i32]) -> anyhow::Result<()> {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> ALL ($1)";
    database.query(end, &[&own_sessions]).await?;
    Ok(())
}

async fn suspend(program: &Service) -> anyhow::Result<()> {
    program.sigstop()?;
    tokio::time::sleep(SUSPENDED).await;
    program.sigcont()
}
