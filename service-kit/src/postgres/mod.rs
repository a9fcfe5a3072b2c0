//! PostgreSQL: the URL with its hosts and TLS settings, single connections, a pool that sheds load, migrations.

mod cancel;
mod connect;
mod connection;
mod database;
mod host;
mod hosts;
mod keeps_apart;
mod loan;
mod migrate;
mod open;
mod parameters;
mod pool;
mod pooler;
mod schema;
mod tls;
mod url;
mod watch;
mod writable;

pub use connect::{Session, connect, connect_writable, reason};
pub use connection::{Connection, Parameter};
pub use database::{Database, DatabaseError};
pub use keeps_apart::{Unanswered, keeps_apart};
pub use migrate::{MigrateArgs, MigrateError, migrate, migrate_until_done};
pub use pool::{Pool, PoolArgs, PoolError, PreparedStatements};
pub use pooler::is_pooled;
pub use schema::Schema;
pub use url::{DatabaseArgs, DatabaseUrl, SslMode};
pub use watch::watch;
pub use writable::ReadOnly;
