#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_methods,
    reason = "it starts programs in the environment of whoever runs it"
)]

mod cargo;
mod checkout;
mod cleanup_notes;
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

pub use cargo::{SERVICES, binary, build, build_services, cargo};
pub use checkout::{postgres_dir, remove_postgres_dir, root, stack_dir};
pub use database::{Database, PostgresAccess};
pub use install::{install, missing, missing_browser, missing_for_chaos, missing_for_tests};
#[doc(hidden)]
pub use keeper::keeper_main;
pub use locate::{chrome, chromedriver, faketime, pgbouncer, psql};
pub use management::{Management, http_client, http_client_builder};
pub use nix::sys::signal::Signal;
pub use ports::{Ports, free_port, is_free};
pub use postgres::PostgresServer;
pub use process::{Process, ProcessId};
pub use python::python;
pub use rabbitmq::{RabbitCluster, RabbitServer};
pub use readiness::wait_until_ready;
pub use secret::{password, write_private};
pub use service::Service;
pub use shared::{Servers, shared};
pub use tls::ServerTls;
pub use version::check_versions;
pub use vhost::{RabbitAccess, Vhost};
