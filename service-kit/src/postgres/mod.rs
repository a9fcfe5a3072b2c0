//! PostgreSQL: the URL with its hosts and TLS settings, single connections, a pool that sheds load, migrations.

mod cancel;
mod connect;
mod connection;
mod database;
mod error;
mod host;
mod connector;
mod dedicated_backend;
mod checkout;
mod migrate;
mod multi_host;
mod url_parameters;
mod pool;
mod pool_args;
mod pooler;
mod schema;
mod tls;
mod url;
mod watch;
mod writable;

pub use connect::{Session, connect, connect_writable};
pub use connection::{Connection, Parameter};
pub use database::Database;
pub use error::{DatabaseError, reason};
pub use dedicated_backend::{Unanswered, keeps_apart};
pub use migrate::{MigrateArgs, MigrateError, migrate, migrate_until_done};
pub use pool::{Pool, PoolError};
pub use pool_args::{PoolArgs, PreparedStatements};
pub use pooler::is_pooled;
pub use schema::Schema;
pub use tls::SslMode;
pub use url::{DatabaseArgs, DatabaseUrl};
pub use watch::watch;
pub use writable::ReadOnly;
