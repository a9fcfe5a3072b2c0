//! PostgreSQL and RabbitMQ for this run, with their durable default settings.

use anyhow::Context as _;
use stack::{PostgresServer, RabbitServer};
use tokio_postgres::{Client, NoTls};

/// The relays' role, by which their statements are distinguished from the benchmark's.
const ROLE: &str = "bench_relay";

/// WAL segments to preallocate: 1 GB.
const LOG_FILES: usize = 64;

/// Both servers. Dropping this stops them.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: PostgresServer,
    pub(crate) rabbit: RabbitServer,
}

impl Servers {
    /// Starts both, which takes about 10 seconds.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        eprintln!("starting PostgreSQL and RabbitMQ");
        let (postgres, rabbit) =
            tokio::try_join!(PostgresServer::start_temporary(), RabbitServer::start_temporary())?;
        let password = &postgres.access().password;
        connect(&postgres.url("postgres"))
            .await?
            .batch_execute(&format!("CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD '{password}'"))
            .await?;
        let servers = Self { postgres, rabbit };
        servers.write_log_ahead().await?;
        Ok(servers)
    }

    /// Preallocates WAL segments, as a server has that has run for a while and recycles them. A new
    /// server first fills each segment with 16 MB of zeros while all commits wait
    /// (<https://www.postgresql.org/docs/current/wal-configuration.html>).
    async fn write_log_ahead(&self) -> anyhow::Result<()> {
        let sql = connect(&self.postgres.url("postgres")).await?;
        sql.batch_execute("ALTER SYSTEM SET min_wal_size = '1GB'").await?;
        sql.batch_execute("ALTER SYSTEM SET max_wal_size = '2GB'").await?;
        sql.batch_execute("SELECT pg_reload_conf()").await?;
        for _ in 0..LOG_FILES {
            sql.batch_execute("SELECT pg_logical_emit_message(false, 'bench', '')").await?;
            sql.batch_execute("SELECT pg_switch_wal()").await?;
        }
        sql.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// The same, with `pg_stat_statements` if it is installed.
    pub(crate) async fn start_counting() -> anyhow::Result<Self> {
        let mut servers = Self::start().await?;
        let sql = connect(&servers.postgres.url("postgres")).await?;
        let find = "SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements'";
        if sql.query_opt(find, &[]).await?.is_some() {
            sql.batch_execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
                .await?;
            drop(sql);
            servers.postgres.stop_gracefully().await?;
            servers.postgres.start().await?;
        }
        Ok(servers)
    }

    /// `postgres://…` of a database, as the relays' role.
    pub(crate) fn relay_url(&self, database: &str) -> String {
        let access = self.postgres.access();
        format!("postgres://{ROLE}:{}@127.0.0.1:{}/{database}", access.password, access.port)
    }

    /// The pid of the postmaster, the parent of all other PostgreSQL processes.
    pub(crate) fn postgres_pid(&self) -> anyhow::Result<u32> {
        Ok(self.postgres.process().context("PostgreSQL has ended")?.pid)
    }

    /// The pid of the Erlang VM.
    pub(crate) fn rabbit_pid(&self) -> anyhow::Result<u32> {
        Ok(self.rabbit.process().context("RabbitMQ has ended")?.pid)
    }
}

/// Opens a session with a database.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends when the client is dropped; an error shows up in the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

/// Opens a session without parallel workers, so that one process accounts for all its CPU time.
pub(crate) async fn connect_alone(url: &str) -> anyhow::Result<Client> {
    let client = connect(url).await?;
    client.batch_execute("SET max_parallel_workers_per_gather = 0").await?;
    Ok(client)
}

/// The backend pid of a session.
pub(crate) async fn backend(client: &Client) -> anyhow::Result<u32> {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
    Ok(u32::try_from(pid)?)
}
