//! PostgreSQL: the URL with its hosts and TLS settings, single connections, a pool that sheds load,
//! migrations.
//!
//! | file | what it does |
//! |---|---|
//! | `url`, `url_parameters`, `host`, `tls` | `DATABASE_URL` |
//! | `connect`, `multi_host`, `writable` | one connection, to the first usable host |
//! | `pool`, `pool_args`, `connector`, `connection` | the connection pool |
//! | `database`, `checkout`, `cancel` | reads and writes with time limits, and what is cancelled after them |
//! | `error` | errors of the driver |
//! | `pooler`, `dedicated_backend` | whether a pooler is in between, and whether a session has its own backend |
//! | `migrate`, `schema` | migrations |
//! | `watch` | monitors the database |

mod cancel;
mod checkout;
mod connect;
mod connection;
mod connector;
mod database;
mod dedicated_backend;
mod error;
mod host;
mod migrate;
mod multi_host;
mod pool;
mod pool_args;
mod pooler;
mod schema;
mod tls;
mod url;
mod url_parameters;
mod watch;
mod writable;

pub use connect::{Session, connect, connect_writable};
pub use connection::{Connection, Parameter};
pub use database::Database;
pub use dedicated_backend::{BackendCheckError, has_dedicated_backend};
pub use error::{DatabaseError, reason};
pub use migrate::{MigrateArgs, MigrateError, migrate, migrate_until_done};
pub use pool::{Pool, PoolError};
pub use pool_args::{PoolArgs, PreparedStatements};
pub use pooler::is_pooled;
pub use schema::Schema;
pub use tls::SslMode;
pub use url::{DatabaseArgs, DatabaseUrl};
pub use watch::watch;
pub use writable::ReadOnly;
