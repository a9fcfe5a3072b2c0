//! PostgreSQL: the URL with its hosts and TLS settings, single connections, a pool that sheds load,
//! migrations.
//!
//! | file | what it does |
//! |---|---|
//! | `url`, `url_parameters`, `host`, `tls` | `DATABASE_URL` |
//! | `connect`, `multi_host`, `writable` | one connection, to the first usable host |
//! | `error` | errors of the driver |
//! | `pooler` | whether a pooler is in between |
//! | `dedicated_backend` | whether a session keeps its backend |
//! | `transaction` | how long named transactions take |
//!
//! With the feature `api`:
//!
//! | folder | what it does |
//! |---|---|
//! | `pool` | the connection pool, and reads and writes with time limits |
//! | `migrations` | migrations |

mod connect;
mod dedicated_backend;
mod error;
mod host;
#[cfg(feature = "api")]
mod migrations;
mod multi_host;
#[cfg(feature = "api")]
mod pool;
mod pooler;
mod tls;
mod transaction;
mod url;
mod url_parameters;
mod writable;

pub use connect::{Session, connect, connect_writable};
pub use dedicated_backend::{BackendCheckError, has_dedicated_backend};
pub use error::reason;
#[cfg(feature = "api")]
pub use migrations::{MigrateArgs, MigrateError, Schema, migrate};
#[cfg(feature = "api")]
pub use pool::{
    Connection, Database, DatabaseError, Parameter, Pool, PoolArgs, PoolError, PreparedStatements,
    watch,
};
pub use pooler::is_pooled;
pub use tls::SslMode;
pub use transaction::{describe_transactions, record_transaction};
pub use url::{DatabaseArgs, DatabaseUrl};
pub use writable::ReadOnly;
