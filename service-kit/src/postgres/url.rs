//! `DATABASE_URL`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::Duration;

use clap::Args;
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

use super::host::{Host, hosts, without_hosts};
use super::tls::{SslMode, TlsSettings};
use super::url_parameters::{URL_FORM, UrlParameters};
use crate::config::read_file;
use crate::failover::HostOrder;

/// The settings for the address of the database.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct DatabaseArgs {
    /// The database: postgres://user:password@host:5432/name, with libpq's parameters, such as
    /// sslmode (disable, prefer, require, verify-ca, verify-full), sslrootcert (a file, or system),
    /// sslcert and sslkey. Of several hosts (host1:5432,host2:5432) the first one that can be
    /// written to is used; target_session_attrs may be any, read-write, primary or prefer-standby
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
    /// Returns the URL, whichever way it was given.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        self.database_url
            .as_ref()
            .or(self.database_url_file.as_ref())
            .expect("clap requires one of the two")
    }
}

/// A parsed `DATABASE_URL`. Its `Debug` shows no password. Clones share which host is tried first.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// Everything but the hosts.
    pub(super) config: Config,
    pub(super) hosts: Vec<Host>,
    pub(super) host_order: HostOrder,
    pub(super) tls: TlsSettings,
    /// Parameters that are ignored.
    ignored: Arc<[&'static str]>,
    /// Whether the warning about them was logged.
    warned: Arc<Once>,
}

impl DatabaseUrl {
    /// Logs a warning about ignored parameters, once. Called when the URL is first used, as logging
    /// is not set up when it is parsed.
    pub(super) fn warn_ignored(&self) {
        if !self.ignored.is_empty() {
            self.warned.call_once(|| {
                tracing::warn!(
                    parameters = self.ignored.join(", "),
                    "DATABASE_URL has parameters that mean nothing to this program: they are ignored"
                );
            });
        }
    }

    /// Returns the time limit for one host, from the first packet to a session.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("hosts", &self.hosts)
            .field("dbname", &self.config.get_dbname())
            .field("user", &self.config.get_user())
            .field("ssl_mode", &self.tls.mode)
            .finish_non_exhaustive()
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Parses the URL and reads the files that it names.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Self::read(text)?;
        url.tls.check().map_err(|error| format!("{error:#}"))?;
        Ok(url)
    }
}

impl DatabaseUrl {
    /// Parses the URL. The driver supports neither all of libpq's parameters nor failover as needed
    /// here, so those parameters and the hosts are removed before it parses the rest.
    fn read(text: &str) -> Result<Self, String> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
            return Err(URL_FORM.to_owned());
        }
        let parameters = UrlParameters::read(query)?;
        let hosts = hosts(&parse(base, &parameters.host_pairs)?)
            .map_err(|error| format!("{error}; {URL_FORM}"))?;
        let mut config = parse(&without_hosts(base).ok_or(URL_FORM)?, &parameters.driver_pairs)?;
        config.ssl_mode(match parameters.tls.mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        // Of several hosts, only a writable one is useful. A single host is used as it is: the
        // program reports better than the driver that it is read-only.
        if parameters.wants_writable || hosts.len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.tcp_user_timeout(parameters.tcp_user_timeout.unwrap_or(TCP_USER_TIMEOUT));
        if config.get_connect_timeout().is_none() {
            let limit = if hosts.len() > 1 { CONNECT_TIMEOUT_OF_SEVERAL } else { CONNECT_TIMEOUT };
            config.connect_timeout(limit);
        }
        Ok(Self {
            config,
            hosts,
            host_order: HostOrder::default(),
            tls: parameters.tls,
            ignored: parameters.ignored.into(),
            warned: Arc::new(Once::new()),
        })
    }
}

/// Does not pass on the driver's error, which may quote parts of the URL.
fn parse(base: &str, query: &[String]) -> Result<Config, String> {
    let parsed = format!("{base}?{}", query.join("&")).parse();
    parsed.map_err(|_| format!("{URL_FORM}, with parameters that libpq knows"))
}

/// The time limit for connecting to a single host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time limit for each of several hosts.
const CONNECT_TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(3);

/// How long sent data may remain unacknowledged.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio_postgres::config::ChannelBinding;

    use super::*;

    #[test]
    fn the_parameters_of_libpq_that_the_driver_does_not_know_are_read() {
        let url = DatabaseUrl::read(
            "postgres://u:p%40ss@db:5433/shop?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&options=-c%20geqo%3Doff&channel_binding=require",
        )
        .expect("a good URL");
        assert_eq!(url.tls.mode, SslMode::VerifyFull);
        assert_eq!(url.tls.files.authority, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(url.config.get_options(), Some("-c geqo=off"));
        assert_eq!(url.config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(url.config.get_password(), Some(&b"p@ss"[..]));
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for bad in [
            "",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "postgres://u:p?hunter2@h/d",
            "postgres://u:p?a=1&hunter2=2@h/d",
            "postgres://u:hunter2@h/d?nothing=hunter2",
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

    #[test]
    fn silence_has_limits_unless_the_url_sets_its_own() {
        let limits = |query: &str| {
            let config = DatabaseUrl::read(&format!("postgres://h/d?{query}")).expect(query).config;
            (
                config.get_keepalives_idle().as_secs(),
                config.get_keepalives_interval().map(|it| it.as_secs()),
                config.get_keepalives_retries(),
                config.get_tcp_user_timeout().map(Duration::as_millis),
            )
        };
        assert_eq!(limits(""), (10, Some(5), Some(2), Some(15_000)));
        let own =
            "keepalives_idle=30&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=2500";
        assert_eq!(limits(own), (30, Some(7), Some(4), Some(2_500)));
        let zero = "keepalives_idle=0&keepalives_interval=0&keepalives_count=0&tcp_user_timeout=0";
        assert_eq!(limits(zero), limits(""));
    }

    #[test]
    fn a_program_that_writes_wants_a_host_that_can_be_written_to() {
        use TargetSessionAttrs::{Any, ReadWrite};
        for (query, alone) in [
            ("", Any),
            ("target_session_attrs=any", Any),
            ("target_session_attrs=prefer-standby", Any),
            ("target_session_attrs=primary", ReadWrite),
            ("target_session_attrs=read-write", ReadWrite),
        ] {
            for (hosts, wanted) in [("h", alone), ("h,i", ReadWrite)] {
                let url = DatabaseUrl::read(&format!("postgres://{hosts}/d?{query}")).expect(query);
                assert_eq!(url.config.get_target_session_attrs(), wanted, "{hosts} {query}");
            }
        }
    }
}
