//! A database on a primary server with a synchronous standby, which can take its place.

use std::mem::swap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pipeline_tests::pipeline::connect;
use pipeline_tests::tcp_server::server_of;
use stack::{Database, PostgresServer};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::mounts::SmallDisk;

/// How long a standby may take to replay what the primary has written.
const REPLAYED: Duration = Duration::from_secs(30);

/// A database of a run.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// The name of the primary server in a plan's targets.
    pub(crate) name: &'static str,
    /// The database on whichever server is the primary, as superuser.
    pub(crate) url: String,
    /// The database on the server that was the primary at first.
    pub(crate) database: Database,
    /// The address of each server.
    addresses: [String; 2],
    /// The disk of one of the servers, if it is small. Dropped before them, who remove their files.
    pub(crate) disk: Option<SmallDisk>,
    /// Locked while a fault happens to them.
    pub(crate) servers: Mutex<Servers>,
}

/// The two servers, which change their places in a failover.
#[derive(Debug)]
pub(crate) struct Servers {
    primary: PostgresServer,
    standby: PostgresServer,
}

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Standby,
}

impl Servers {
    pub(crate) fn of(&mut self, role: Role) -> &mut PostgresServer {
        match role {
            Role::Primary => &mut self.primary,
            Role::Standby => &mut self.standby,
        }
    }

    /// The server whose data folder is on this disk.
    pub(crate) fn on(&mut self, disk: &SmallDisk) -> &mut PostgresServer {
        let is_primary = self.primary.log().parent().is_some_and(|folder| disk.is_under(folder));
        if is_primary { &mut self.primary } else { &mut self.standby }
    }
}

impl Postgres {
    /// Starts both servers, the first one with a small disk if it should have one.
    pub(crate) async fn start(
        name: &'static str,
        database: &str,
        has_small_disk: bool,
    ) -> anyhow::Result<Self> {
        let mut primary = PostgresServer::start_temporary().await?;
        let owner = connect(&primary.url("postgres")).await?;
        // For clients that commit in two phases, and for a standby that was down.
        owner.batch_execute("ALTER SYSTEM SET max_prepared_transactions = 50").await?;
        owner.batch_execute("ALTER SYSTEM SET wal_keep_size = '256MB'").await?;
        owner.batch_execute("ALTER SYSTEM SET max_wal_size = '256MB'").await?;
        primary.stop_gracefully().await?;
        let folder = primary.log().parent().context("the log is in the server's folder")?;
        let disk = has_small_disk.then(|| SmallDisk::under(folder)).transpose()?;
        primary.start().await?;
        let database = primary.database(database).await?;
        // Whoever is told that a transaction is committed finds it on the standby as well. The
        // standby has the same setting, for the time when it is the primary.
        let owner = connect(&primary.url("postgres")).await?;
        owner.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        let standby = primary.start_standby().await?;
        owner.batch_execute("SELECT pg_reload_conf()").await?;
        let addresses =
            [&primary, &standby].map(|server| format!("127.0.0.1:{}", server.access().port));
        let both = database.url.replace(&addresses[0], &addresses.join(","));
        let url = format!("{both}?target_session_attrs=read-write");
        let servers = Mutex::new(Servers { primary, standby });
        Ok(Self { name, url, database, addresses, disk, servers })
    }

    /// Returns the name of the standby server in a plan's targets.
    pub(crate) fn standby_name(&self) -> String {
        format!("{}-standby", self.name)
    }

    /// The URL of the first server, and the same for each server.
    pub(crate) fn url_of_each(&self, url: &str) -> anyhow::Result<[String; 2]> {
        ensure!(server_of(url)? == self.addresses[0], "{url} is not one of {}", self.name);
        Ok(self.addresses.each_ref().map(|address| url.replace(&self.addresses[0], address)))
    }

    /// Makes the standby the primary, once it has replayed all that anybody may have seen. The
    /// former primary is killed before, and stays down.
    pub(crate) async fn fail_over(&self) -> anyhow::Result<()> {
        let mut servers = self.servers.lock().await;
        let Servers { primary, standby } = &mut *servers;
        timeout(REPLAYED, replayed(primary, standby))
            .await
            .context("the standby lags behind")??;
        primary.kill().await?;
        standby.promote().await?;
        swap(primary, standby);
        Ok(())
    }

    /// Builds the server anew that was the primary before the failover: it may have written what
    /// the new one never got.
    pub(crate) async fn rebuild(&self) -> anyhow::Result<()> {
        let mut servers = self.servers.lock().await;
        let Servers { primary, standby } = &mut *servers;
        standby.follow(primary).await
    }
}

async fn replayed(primary: &PostgresServer, standby: &PostgresServer) -> anyhow::Result<()> {
    let written = "SELECT pg_current_wal_flush_lsn()::text";
    let primary = connect(&primary.url("postgres")).await?;
    let written: String = primary.query_one(written, &[]).await?.get(0);
    let standby = connect(&standby.url("postgres")).await?;
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
    while !standby.query_one(&replayed, &[]).await?.get::<_, bool>(0) {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
