//! The parameters of `DATABASE_URL`, which are libpq's (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>).

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;

use super::url::{FORM, SslMode};
use crate::parameter;
use crate::tls::{Files, Parameters};

const OF_FILES: Parameters =
    Parameters { authority: "sslrootcert", certificate: "sslcert", key: "sslkey" };

/// Those that the driver reads itself, as libpq does.
const OF_THE_DRIVER: [&str; 12] = [
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

/// Those that other programs make use of and these ones do not. `application_name` is among them because `outbox_relays` and the commands know
/// relays by the name that they give themselves.
const IGNORED: [&str; 29] = [
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

/// A server that vanished must be noticed: silence on the line has limits, unless the URL sets its own.
const KEEPALIVES: [&str; 3] =
    ["keepalives_idle=10", "keepalives_interval=5", "keepalives_retries=2"];

/// What the parameters of a URL say.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) ssl_mode: SslMode,
    pub(super) files: Files,
    /// TLS tells the server by which name it was asked for.
    pub(super) sends_name: bool,
    pub(super) tcp_user_timeout: Option<Duration>,
    /// Whether a single host must take writes to be connected to at all.
    pub(super) writable: bool,
    /// `name=value` as the URL has them, for the driver.
    pub(super) of_hosts: Vec<String>,
    pub(super) of_the_driver: Vec<String>,
    /// The names of those that mean nothing here.
    pub(super) ignored: Vec<&'static str>,
}

impl Given {
    /// Reads what stands behind the `?` of a URL.
    ///
    /// # Errors
    /// A sentence that names the parameter at fault.
    pub(super) fn read(query: &str) -> Result<Self, String> {
        let mut given = Self {
            ssl_mode: SslMode::Prefer,
            files: Files::none(OF_FILES),
            sends_name: true,
            tcp_user_timeout: None,
            writable: false,
            of_hosts: Vec::new(),
            of_the_driver: KEEPALIVES.map(str::to_owned).to_vec(),
            ignored: Vec::new(),
        };
        let (mut mode, mut system) = (None, false);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                ::url::form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
            match &*name {
                "sslmode" => mode = Some(ssl_mode(&value)?),
                // As JDBC writes it, and libpq reads it.
                "ssl" if value == "true" => mode = Some(SslMode::Require),
                "sslrootcert" => {
                    system = value == "system";
                    given.files.authority = (!system).then(|| PathBuf::from(&*value));
                }
                "sslcert" => given.files.certificate = Some(PathBuf::from(&*value)),
                "sslkey" => given.files.key = Some(PathBuf::from(&*value)),
                "sslsni" => given.sends_name = value != "0",
                "target_session_attrs" => given.writable = demands_writes(&value)?,
                "tcp_user_timeout" => given.tcp_user_timeout = milliseconds(&name, &value)?,
                "gssencmode" if value == "require" => {
                    return Err("gssencmode=require can't be met: these programs know no GSSAPI; sslmode=verify-full encrypts as well".to_owned());
                }
                "host" | "hostaddr" | "port" => given.of_hosts.push(pair.to_owned()),
                // As libpq: 0 leaves it as it is.
                "keepalives_count" if value == "0" => {}
                "keepalives_count" => {
                    given
                        .of_the_driver
                        .push(checked(&name, &format!("keepalives_retries={value}"))?);
                }
                name if OF_THE_DRIVER.contains(&name) => {
                    given.of_the_driver.push(checked(name, pair)?);
                }
                name => match IGNORED.iter().find(|ignored| **ignored == name) {
                    Some(ignored) => given.ignored.push(ignored),
                    None => return Err(unknown(name, query)),
                },
            }
        }
        given.ssl_mode = match mode {
            None | Some(SslMode::VerifyFull) if system => SslMode::VerifyFull,
            Some(_) if system => {
                return Err("sslrootcert=system goes with sslmode=verify-full only: anybody can get a certificate from an authority that the system knows".to_owned());
            }
            mode => mode.unwrap_or(SslMode::Prefer),
        };
        Ok(given)
    }
}

/// A pair for the driver. Its error text may quote the value: only the name is told.
fn checked(name: &str, pair: &str) -> Result<String, String> {
    let alone = format!("postgres://host/name?{pair}").parse::<Config>();
    alone
        .map(|_| pair.to_owned())
        .map_err(|_| format!("{name} has a value that libpq does not know"))
}

/// libpq counts these in milliseconds; 0 leaves the limit as it is.
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

/// Whether `target_session_attrs` insists on a server that takes writes. All programs write, so what it leaves open is no choice of several hosts.
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

/// Names the parameter, unless what stands there may be the end of a password in which `?` was not escaped.
fn unknown(name: &str, query: &str) -> String {
    if !parameter::is_name(name, query) {
        return format!(
            "{FORM}, with parameters that libpq knows; a ? in a password is written %3F"
        );
    }
    format!("it has a parameter {name}, which libpq does not know; take it out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_knows_is_taken_and_what_means_nothing_here_is_named() {
        for known in OF_THE_DRIVER.iter().map(|name| match *name {
            "channel_binding" => "channel_binding=require".to_owned(),
            "load_balance_hosts" => "load_balance_hosts=random".to_owned(),
            "sslnegotiation" => "sslnegotiation=postgres".to_owned(),
            name => format!("{name}=7"),
        }) {
            let given = Given::read(&known).expect(&known);
            assert!(given.of_the_driver.contains(&known) && given.ignored.is_empty(), "{known}");
        }
        for name in IGNORED {
            let given = Given::read(&format!("{name}=0&user=shop")).expect(name);
            assert_eq!(given.ignored, [name]);
        }
        let refused = Given::read("gssencmode=require").expect_err("it can't be met");
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
            let said = Given::read(query).expect_err(query);
            assert!(said.contains(named), "{query}: {said}");
        }
        // postgres://u:p?hunter2@h/d and its like.
        for query in
            ["hunter2@h/d", "hunter2=@h/d", "a&hunter2=7@h/d?sslmode=require", "hunter2%26=1"]
        {
            let said = Given::read(query).expect_err(query);
            assert!(said.starts_with(FORM) && !said.contains("hunter2"), "{query}: {said}");
        }
    }

    #[test]
    fn the_systems_authorities_mean_that_everything_is_verified() {
        for query in ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system"] {
            let given = Given::read(query).expect(query);
            assert_eq!((given.ssl_mode, given.files.authority), (SslMode::VerifyFull, None));
        }
        assert_eq!(Given::read("ssl=true").expect("as libpq").ssl_mode, SslMode::Require);
    }
}
