//! PostgreSQL: the URL with its hosts and TLS settings, single connections, a pool that sheds load, migrations.

mod connect;
mod database;
mod host;
mod hosts;
mod migrate;
mod open;
mod parameters;
mod pool;
mod schema;
mod tls;
mod url;
mod writable;

pub use connect::{Session, connect, connect_writable, reason};
pub use database::{Database, DatabaseError};
pub use migrate::{MigrateArgs, MigrateError, migrate, migrate_until_done};
pub use pool::{Pool, PoolArgs, PoolError, watch};
pub use schema::Schema;
pub use url::{DatabaseArgs, DatabaseUrl, SslMode};
pub use writable::ReadOnly;
