//! `DATABASE_URL`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tokio_postgres::Config;

use super::host::{Host, hosts, without_hosts};
use super::tls;
use crate::config::read_file;
use crate::tls::{Files, Parameters};
use crate::turn::Turn;

/// Settings that say where the database is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct DatabaseArgs {
    /// The database: postgres://user:password@host:5432/name, with sslmode (disable, prefer, require, verify-ca,
    /// verify-full), sslrootcert, sslcert and sslkey as libpq knows them. Of several hosts (host1:5432,host2:5432) the
    /// first one that answers is used, with target_session_attrs=read-write the first one that can be written to
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        required_unless_present = "database_url_file"
    )]
    database_url: Option<DatabaseUrl>,

    /// A file that holds `DATABASE_URL`
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", value_parser = read_file::<DatabaseUrl>, conflicts_with = "database_url")]
    database_url_file: Option<DatabaseUrl>,
}

impl DatabaseArgs {
    /// The database's address, whichever way it was given.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        self.database_url
            .as_ref()
            .or(self.database_url_file.as_ref())
            .expect("clap requires one of the two")
    }
}

/// How the server is to be trusted: libpq's `sslmode`
/// (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS when the server offers it; any certificate.
    Prefer,
    /// TLS; any certificate, or as `VerifyCa` when a root certificate is given.
    Require,
    /// TLS; the certificate must come from a known authority.
    VerifyCa,
    /// TLS; the certificate must come from a known authority and name the host.
    VerifyFull,
}

/// A parsed `DATABASE_URL`. Its `Debug` shows no password. Clones share which host is tried first.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// All but the hosts.
    pub(super) config: Config,
    pub(super) hosts: Vec<Host>,
    pub(super) turn: Turn,
    pub(super) ssl_mode: SslMode,
    pub(super) files: Files,
}

impl DatabaseUrl {
    /// The driver's settings, for adding an `application_name` or server options. The hosts are not among them.
    pub const fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// How long one host may take, from the first packet to a session.
    pub(super) fn connect_limit(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_LIMIT)
    }

    /// How long all hosts together may take.
    pub(super) fn patience(&self) -> Duration {
        self.connect_limit() * u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("hosts", &self.hosts)
            .field("dbname", &self.config.get_dbname())
            .field("user", &self.config.get_user())
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Reads the URL, and the files that it names.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Self::read(text)?;
        tls::check(&url).map_err(|error| format!("{error:#}"))?;
        Ok(url)
    }
}

const PARAMETERS: Parameters =
    Parameters { authority: "sslrootcert", certificate: "sslcert", key: "sslkey" };

const FORM: &str = "it must look like postgres://user:password@host:5432/name";

impl DatabaseUrl {
    /// The driver knows neither `verify-ca`, `verify-full` nor the certificates: they are taken out before it reads the rest.
    fn read(text: &str) -> Result<Self, String> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut mode = None;
        let mut files = Files::none(PARAMETERS);
        let (mut rest, mut of_hosts) = (Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                ::url::form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
            match &*name {
                "sslmode" => mode = Some(ssl_mode(&value)?),
                "sslrootcert" => files.authority = Some(PathBuf::from(&*value)),
                "sslcert" => files.certificate = Some(PathBuf::from(&*value)),
                "sslkey" => files.key = Some(PathBuf::from(&*value)),
                "host" | "hostaddr" | "port" => of_hosts.push(pair),
                _ => rest.push(pair),
            }
        }
        let hosts = hosts(&parse(base, &of_hosts)?).map_err(|error| format!("{error}; {FORM}"))?;
        let mut config = parse(&without_hosts(base).ok_or(FORM)?, &rest)?;
        let ssl_mode = mode.unwrap_or(SslMode::Prefer);
        config.ssl_mode(match ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        bound_waiting(&mut config, hosts.len());
        Ok(Self { config, hosts, turn: Turn::default(), ssl_mode, files })
    }
}

/// The driver's error text may quote the URL's parts: only its kind is told.
fn parse(base: &str, query: &[&str]) -> Result<Config, String> {
    if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
        return Err(FORM.to_owned());
    }
    format!("{base}?{}", query.join("&"))
        .parse()
        .map_err(|_| format!("{FORM}, with parameters that libpq knows"))
}

/// How long a server may take to let us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The same where there is another one to turn to.
const CONNECT_LIMIT_OF_SEVERAL: Duration = Duration::from_secs(3);

/// A server that vanished must be noticed: connecting and silence on the line have limits, unless the URL set its own.
fn bound_waiting(config: &mut Config, hosts: usize) {
    if config.get_connect_timeout().is_none() {
        let limit = if hosts > 1 { CONNECT_LIMIT_OF_SEVERAL } else { CONNECT_LIMIT };
        config.connect_timeout(limit);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(15));
    }
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(2);
}

fn ssl_mode(text: &str) -> Result<SslMode, String> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        other => Err(format!(
            "sslmode {other:?} is not one of disable, prefer, require, verify-ca, verify-full"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_libpq_that_the_driver_does_not_know_are_read() {
        let url = DatabaseUrl::read(
            "postgres://u:p%40ss@db:5433/shop?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&application_name=x",
        )
        .expect("a good URL");
        assert_eq!(url.ssl_mode, SslMode::VerifyFull);
        assert_eq!(url.files.authority, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(url.config.get_application_name(), Some("x"));
        assert_eq!(url.config.get_password(), Some(&b"p@ss"[..]));
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for bad in [
            "",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "postgres://u:hunter2@h/d?hunter2=1",
            "postgres://u:hunter2@h:port/d",
            "postgres:///d",
            "postgres://u:hunter2@h/d?sslcert=a",
        ] {
            let error = bad.parse::<DatabaseUrl>().expect_err(bad);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_noticed_at_once() {
        for parameters in [
            "sslrootcert=/nowhere",
            "sslmode=disable&sslrootcert=/nowhere",
            "sslmode=verify-full&sslrootcert=/nowhere",
            "sslcert=/nowhere&sslkey=/nowhere",
        ] {
            let url = format!("postgres://u:hunter2@h/d?{parameters}");
            let error = url.parse::<DatabaseUrl>().expect_err(parameters);
            assert!(error.contains("/nowhere can't be read"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let url: DatabaseUrl = "postgres://u:hunter2@h/d".parse().expect("a good URL");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
