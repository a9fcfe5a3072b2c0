//! `PgBouncer` in front of PostgreSQL in transaction mode: each transaction may use another server
//! session.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use stack::Service;

use crate::pipeline::PATIENCE;
use crate::tcp_server::server_of;

/// A running pooler with two connections to the server. Dropping it stops it.
#[derive(Debug)]
pub struct PgBouncer {
    service: Service,
    arguments: Vec<String>,
    dir: PathBuf,
    version: (u32, u32),
}

impl PgBouncer {
    /// Starts one in front of the server in `url`, and returns the URL through it.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn before(url: &str) -> anyhow::Result<(Self, String)> {
        Self::with(url, "pool_mode = transaction").await
    }

    /// Starts one in session mode, in which a client keeps its server session.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn in_session_mode(url: &str) -> anyhow::Result<(Self, String)> {
        Self::with(url, "pool_mode = session").await
    }

    /// Starts one that supports prepared statements; `None` before `PgBouncer` 1.21, which does
    /// not.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn with_prepared_statements(url: &str) -> anyhow::Result<Option<(Self, String)>> {
        let (plain, _) = Self::before(url).await?;
        if plain.version < (1, 21) {
            return Ok(None);
        }
        Self::with(url, "pool_mode = transaction\nmax_prepared_statements = 100").await.map(Some)
    }

    async fn with(url: &str, settings: &str) -> anyhow::Result<(Self, String)> {
        let server = server_of(url)?;
        let (host, server_port) = server.rsplit_once(':').context("a port")?;
        let (login, _) = url.split_once('@').context("a user")?;
        let (_, login) = login.split_once("://").context("a scheme")?;
        let (user, password) = login.split_once(':').context("a password")?;
        let port = stack::free_port()?;

        let dir =
            std::env::temp_dir().join(format!("pgbouncer-{port}-{:08x}", rand::random::<u32>()));
        fs::create_dir(&dir)?;
        let (config, users) = (dir.join("pgbouncer.ini"), dir.join("users.txt"));
        fs::write(&users, format!("\"{user}\" \"{password}\"\n"))?;
        fs::write(
            &config,
            format!(
                "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 auth_type = trust\nauth_file = {}\ndefault_pool_size = 2\nmax_client_conn = 200\n\
                 unix_socket_dir =\n{settings}\n",
                users.display()
            ),
        )?;
        // It does not run as root, so another user must be able to read the files.
        for (path, mode) in [(&dir, 0o755), (&config, 0o644), (&users, 0o644)] {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        let mut arguments = Vec::new();
        if is_root()? {
            arguments.extend(["-u".to_owned(), "postgres".to_owned()]);
        }
        arguments.push(config.display().to_string());
        let service = start(&arguments).await?;
        let line = service.wait_for_line("process up", PATIENCE).await?;
        let version = version_in(&line).with_context(|| line.clone())?;
        let url = url.replace(server, &format!("127.0.0.1:{port}"));
        Ok((Self { service, arguments, dir, version }, url))
    }

    /// Kills it, as a crash would.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.sigkill()?;
        self.service.wait_exit(PATIENCE).await?;
        Ok(())
    }

    /// Stops it: at once, as the system would.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.service.sigterm()?;
        self.service.wait_exit(PATIENCE).await?;
        Ok(())
    }

    /// Starts it again with the same settings, after it has ended.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.service = start(&self.arguments).await?;
        self.service.wait_for_line("process up", PATIENCE).await?;
        Ok(())
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

async fn start(arguments: &[String]) -> anyhow::Result<Service> {
    let none: [(&str, &str); 0] = [];
    Service::spawn(stack::pgbouncer()?, arguments, none).await
}

fn is_root() -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// `… process up: PgBouncer 1.18.0, libevent …`
fn version_in(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("PgBouncer ")?;
    let mut numbers = rest.split(['.', ',']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
