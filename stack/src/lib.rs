//! Starts real PostgreSQL and RabbitMQ servers, isolated from those of the system, and the
//! pipeline's services as real processes.
//!
//! For tests, which need nothing but the two servers installed:
//!
//! - [`shared()`]: the servers of this test run, which give each test a fresh [`Database`] and
//!   [`Vhost`].
//! - [`PostgresServer::start_temporary`], [`RabbitServer::start_temporary`]: servers for one test,
//!   to be stopped, killed and restarted; [`RabbitCluster`]: a cluster of three nodes.
//! - [`binary()`] and [`Service`]: the services' real programs, to be killed at any moment.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! let servers = stack::shared().await?;
//! let orders = servers.database("orders").await?;
//! let broker = servers.vhost("relay").await?;
//! let relay = stack::Service::spawn(
//!     stack::binary("outbox-relay").await?,
//!     ["run"],
//!     [("DATABASE_URL", &orders.url), ("RABBITMQ_URL", &broker.amqp_url)],
//! )
//! .await?;
//! relay.sigkill()?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing outlives the tests; see `shared` and `tempdir`. The local stack of `cargo xtask up` uses
//! the same servers, with their data in `.stack` or in the folder that `STACK_DIR` names.

mod cargo;
mod checkout;
mod cleanup;
mod database;
mod install;
mod keeper;
mod locate;
mod management;
mod ports;
mod postgres;
mod process;
mod python;
mod rabbitmq;
mod readiness;
mod role;
mod secret;
mod service;
mod shared;
mod standby;
mod tempdir;
mod tls;
mod version;
mod vhost;

pub use cargo::{SERVICES, binary, build, cargo};
pub use checkout::{postgres_dir, remove_postgres_dir, root, stack_dir};
pub use database::{Database, PostgresAccess};
pub use install::{install, missing, missing_for_tests};
#[doc(hidden)]
pub use keeper::keeper_main;
pub use locate::{pgbouncer, psql};
pub use management::{Management, http_client};
pub use nix::sys::signal::Signal;
pub use ports::{Ports, free_port, is_free, next_free};
pub use postgres::PostgresServer;
pub use process::{Process, ProcessId};
pub use python::python;
pub use rabbitmq::{RabbitCluster, RabbitServer};
pub use readiness::{last_lines_of, wait_until_ready};
pub use secret::{password, write_private};
pub use service::Service;
pub use shared::{Servers, shared};
pub use tls::ServerTls;
pub use version::check_versions;
pub use vhost::{RabbitAccess, Vhost};
