//! The parameters of `DATABASE_URL`, which are libpq's
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>).

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;

use super::tls::{SslMode, TlsSettings};
use crate::config::is_parameter_name;
use crate::tls::{Files, Parameters};

pub(super) const URL_FORM: &str = "it must look like postgres://user:password@host:5432/name";

const FILE_PARAMETERS: Parameters =
    Parameters { authority: "sslrootcert", certificate: "sslcert", key: "sslkey" };

/// Parameters that the driver parses as libpq does.
const DRIVER_PARAMETERS: [&str; 12] = [
    "channel_binding",
    "connect_timeout",
    "dbname",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "sslnegotiation",
    "user",
];

/// Parameters of libpq that are ignored. `application_name` is one, because `outbox_relays` and the
/// commands find relays by the name that they set themselves.
const IGNORED_PARAMETERS: [&str; 29] = [
    "application_name",
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslpassword",
];

/// Detects a vanished server, unless the URL sets other values.
const KEEPALIVES: [&str; 3] =
    ["keepalives_idle=10", "keepalives_interval=5", "keepalives_retries=2"];

/// The parsed parameters of a URL.
#[derive(Debug)]
pub(super) struct UrlParameters {
    pub(super) tls: TlsSettings,
    pub(super) tcp_user_timeout: Option<Duration>,
    /// Whether a single host must accept writes.
    pub(super) wants_writable: bool,
    /// `name=value` pairs for the driver, as they are in the URL.
    pub(super) host_pairs: Vec<String>,
    pub(super) driver_pairs: Vec<String>,
    /// The names of ignored parameters.
    pub(super) ignored: Vec<&'static str>,
}

impl UrlParameters {
    /// Parses the query of a URL.
    ///
    /// # Errors
    /// A sentence that names the invalid parameter.
    pub(super) fn read(query: &str) -> Result<Self, String> {
        let mut parameters = Self {
            tls: TlsSettings {
                mode: SslMode::Prefer,
                files: Files::none(FILE_PARAMETERS),
                sends_name: true,
            },
            tcp_user_timeout: None,
            wants_writable: false,
            host_pairs: Vec::new(),
            driver_pairs: KEEPALIVES.map(str::to_owned).to_vec(),
            ignored: Vec::new(),
        };
        let (mut mode, mut system) = (None, false);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                ::url::form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
            match &*name {
                "sslmode" => mode = Some(ssl_mode(&value)?),
                // JDBC's spelling, which libpq accepts.
                "ssl" if value == "true" => mode = Some(SslMode::Require),
                "sslrootcert" => {
                    system = value == "system";
                    parameters.tls.files.authority = (!system).then(|| PathBuf::from(&*value));
                }
                "sslcert" => parameters.tls.files.certificate = Some(PathBuf::from(&*value)),
                "sslkey" => parameters.tls.files.key = Some(PathBuf::from(&*value)),
                "sslsni" => parameters.tls.sends_name = value != "0",
                "target_session_attrs" => parameters.wants_writable = demands_writes(&value)?,
                "tcp_user_timeout" => parameters.tcp_user_timeout = milliseconds(&name, &value)?,
                "gssencmode" if value == "require" => {
                    return Err("gssencmode=require can't be met: these programs know no GSSAPI; sslmode=verify-full encrypts as well".to_owned());
                }
                "host" | "hostaddr" | "port" => parameters.host_pairs.push(pair.to_owned()),
                // As in libpq, 0 means the default.
                "keepalives_count" if value == "0" => {}
                "keepalives_count" => {
                    parameters
                        .driver_pairs
                        .push(check_driver_pair(&name, &format!("keepalives_retries={value}"))?);
                }
                name if DRIVER_PARAMETERS.contains(&name) => {
                    parameters.driver_pairs.push(check_driver_pair(name, pair)?);
                }
                name => match IGNORED_PARAMETERS.iter().find(|ignored| **ignored == name) {
                    Some(ignored) => parameters.ignored.push(ignored),
                    None => return Err(unknown_parameter(name, query)),
                },
            }
        }
        parameters.tls.mode = match mode {
            None | Some(SslMode::VerifyFull) if system => SslMode::VerifyFull,
            Some(_) if system => {
                return Err("sslrootcert=system goes with sslmode=verify-full only: anybody can get a certificate from an authority that the system knows".to_owned());
            }
            mode => mode.unwrap_or(SslMode::Prefer),
        };
        Ok(parameters)
    }
}

/// Checks a pair for the driver. The driver's error may quote the value, so the error here gives
/// the name only.
fn check_driver_pair(name: &str, pair: &str) -> Result<String, String> {
    let alone = format!("postgres://host/name?{pair}").parse::<Config>();
    alone
        .map(|_| pair.to_owned())
        .map_err(|_| format!("{name} has a value that libpq does not know"))
}

/// Parses a number of milliseconds; as in libpq, 0 means the default.
fn milliseconds(name: &str, value: &str) -> Result<Option<Duration>, String> {
    let value: i64 = value.parse().map_err(|_| format!("{name} is no number of milliseconds"))?;
    Ok(u64::try_from(value).ok().filter(|value| *value > 0).map(Duration::from_millis))
}

fn ssl_mode(text: &str) -> Result<SslMode, String> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        other => Err(format!(
            "sslmode {other:?} is not one of disable, allow, prefer, require, verify-ca, verify-full"
        )),
    }
}

/// Returns true if `target_session_attrs` demands a server that accepts writes. As all programs
/// write, the other values don't restrict the choice.
fn demands_writes(attributes: &str) -> Result<bool, String> {
    match attributes {
        "any" | "prefer-standby" => Ok(false),
        "read-write" | "primary" => Ok(true),
        "standby" | "read-only" => Err(format!(
            "target_session_attrs={attributes} asks for a server that takes no writes, and this program writes: leave it out, or set it to read-write"
        )),
        other => Err(format!(
            "target_session_attrs {other:?} is not one of any, read-write, primary, prefer-standby"
        )),
    }
}

/// Names the parameter, unless it may be the end of a password with an unescaped `?`.
fn unknown_parameter(name: &str, query: &str) -> String {
    if !is_parameter_name(name, query) {
        return format!(
            "{URL_FORM}, with parameters that libpq knows; a ? in a password is written %3F"
        );
    }
    format!("it has a parameter {name}, which libpq does not know; take it out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_knows_is_taken_and_what_means_nothing_here_is_named() {
        for known in DRIVER_PARAMETERS.iter().map(|name| match *name {
            "channel_binding" => "channel_binding=require".to_owned(),
            "load_balance_hosts" => "load_balance_hosts=random".to_owned(),
            "sslnegotiation" => "sslnegotiation=postgres".to_owned(),
            name => format!("{name}=7"),
        }) {
            let parameters = UrlParameters::read(&known).expect(&known);
            assert!(
                parameters.driver_pairs.contains(&known) && parameters.ignored.is_empty(),
                "{known}"
            );
        }
        for name in IGNORED_PARAMETERS {
            let parameters = UrlParameters::read(&format!("{name}=0&user=shop")).expect(name);
            assert_eq!(parameters.ignored, [name]);
        }
        let refused = UrlParameters::read("gssencmode=require").expect_err("it can't be met");
        assert!(refused.starts_with("gssencmode=require"), "{refused}");
    }

    #[test]
    fn an_unknown_parameter_or_value_is_named_and_no_part_of_a_password_is() {
        for (query, named) in [
            ("pgbouncer=true", "parameter pgbouncer"),
            ("sslmode=require&connection_limit=5", "parameter connection_limit"),
            ("ssl=false", "parameter ssl"),
            ("connect_timeout=soon", "connect_timeout has"),
            ("keepalives_count=some", "keepalives_count has"),
            ("tcp_user_timeout=soon", "tcp_user_timeout is"),
            ("channel_binding=maybe", "channel_binding has"),
            ("target_session_attrs=primry", "target_session_attrs \"primry\""),
            ("target_session_attrs=standby", "target_session_attrs=standby"),
            ("target_session_attrs=read-only", "target_session_attrs=read-only"),
            ("sslmode=require&sslrootcert=system", "sslrootcert=system"),
        ] {
            let said = UrlParameters::read(query).expect_err(query);
            assert!(said.contains(named), "{query}: {said}");
        }
        // As in postgres://u:p?hunter2@h/d.
        for query in
            ["hunter2@h/d", "hunter2=@h/d", "a&hunter2=7@h/d?sslmode=require", "hunter2%26=1"]
        {
            let said = UrlParameters::read(query).expect_err(query);
            assert!(said.starts_with(URL_FORM) && !said.contains("hunter2"), "{query}: {said}");
        }
    }

    #[test]
    fn the_systems_authorities_mean_that_everything_is_verified() {
        for query in ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system"] {
            let parameters = UrlParameters::read(query).expect(query);
            assert_eq!(
                (parameters.tls.mode, parameters.tls.files.authority),
                (SslMode::VerifyFull, None)
            );
        }
        assert_eq!(UrlParameters::read("ssl=true").expect("as libpq").tls.mode, SslMode::Require);
    }
}
