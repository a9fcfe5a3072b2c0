//! Settings of `console`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use service_kit::HostPort;
use service_kit::http::ServeArgs;
use service_kit::process::ProcessArgs;

use super::network::Network;
use super::passed_on::PassedOnArgs;
use super::rights::Rights;
use super::webhook::WebhookArgs;

/// Settings of `console`.
#[derive(Debug, Clone, Args)]
pub struct ConsoleConfig {
    /// What it passes on to the commands that it runs.
    #[command(flatten)]
    pub(super) passed_on: PassedOnArgs,
    /// Where it listens, and who may use it.
    #[command(flatten)]
    pub(super) access: AccessArgs,
    /// What its pages show.
    #[command(flatten)]
    pub(super) pages: PageArgs,
    /// Whom it tells what is new.
    #[command(flatten)]
    pub(super) webhook: WebhookArgs,
    /// Limits of its port.
    #[command(flatten)]
    pub(super) http: ServeArgs,
    /// Where /livez, /readyz and /metrics answer; port 0 takes a free one
    #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9011", value_name = "HOST:PORT")]
    pub(super) ops_addr: HostPort,
    /// What each process has.
    #[command(flatten)]
    pub(super) process: ProcessArgs,
}

/// Where the console listens, and who may use it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub(super) struct AccessArgs {
    /// Where the console answers. Any other address than one of this machine alone needs
    /// CONSOLE_AUTH
    #[arg(long, env = "CONSOLE_ADDR", default_value = "127.0.0.1:9010", value_name = "HOST:PORT")]
    pub(super) console_addr: HostPort,

    /// How people log in
    #[arg(
        long,
        env = "CONSOLE_AUTH",
        value_enum,
        default_value = "none",
        hide_possible_values = true,
        value_name = "HOW"
    )]
    pub(super) console_auth: AuthKind,

    /// Who may log in: a file with a line NAME:RIGHTS:SECRET for each, where RIGHTS is viewer,
    /// operator or admin. With CONSOLE_AUTH=proxy the secret is left out, and who is not listed has
    /// CONSOLE_RIGHTS
    #[arg(long, env = "CONSOLE_USERS_FILE", value_name = "FILE")]
    pub(super) console_users_file: Option<PathBuf>,

    /// What those may do who are not in CONSOLE_USERS_FILE: viewer, operator or admin. By default
    /// admin without CONSOLE_AUTH, and viewer behind a proxy
    #[arg(long, env = "CONSOLE_RIGHTS", value_enum, value_name = "RIGHTS")]
    pub(super) console_rights: Option<Rights>,

    /// The header in which a proxy names the user, such as X-Forwarded-User
    #[arg(long, env = "CONSOLE_USER_HEADER", value_name = "NAME")]
    pub(super) console_user_header: Option<String>,

    /// The addresses and networks of proxies, whose headers are believed: 10.0.0.7,10.1.0.0/16
    #[arg(
        long,
        env = "CONSOLE_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NETWORK,...",
        default_value = ""
    )]
    pub(super) console_trusted_proxies: Vec<OptionalNetwork>,

    /// The names under which browsers know the console, beside localhost and its address:
    /// outbox.example.com
    #[arg(
        long,
        env = "CONSOLE_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "HOST,...",
        default_value = ""
    )]
    pub(super) console_allowed_hosts: Vec<String>,

    /// The commands take no role of their own: they have all rights of the login, and only the
    /// console keeps a viewer from changes. For a database without the roles of sql/roles.sql
    #[arg(long, env = "CONSOLE_WITHOUT_ROLES", default_value = "false", value_name = "BOOL", action = clap::ArgAction::Set)]
    pub(super) console_without_roles: bool,
}

/// What the pages show.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pages")]
pub(super) struct PageArgs {
    /// The name of the environment, such as production: a bar at the top, and part of each
    /// confirmation
    #[arg(long, env = "CONSOLE_ENVIRONMENT", value_name = "NAME")]
    pub(super) console_environment: Option<String>,

    /// Shows no payloads, bodies and headers, which may be personal
    #[arg(long, env = "CONSOLE_HIDE_PAYLOADS", default_value = "false", value_name = "BOOL", action = clap::ArgAction::Set)]
    pub(super) console_hide_payloads: bool,

    /// What stands before the path of each page, if a proxy does not remove it: /outbox
    #[arg(long, env = "CONSOLE_PREFIX", default_value = "", value_name = "PATH")]
    pub(super) console_prefix: Prefix,

    /// The address of a trace, with {trace_id} in it:
    /// https://traces.example.com/trace/{trace_id}
    #[arg(long, env = "CONSOLE_TRACE_URL", value_name = "URL", value_parser = trace_url)]
    pub(super) console_trace_url: Option<String>,
}

/// How people log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AuthKind {
    /// nobody has to: whoever reaches the port is CONSOLE_RIGHTS
    None,
    /// with a name and a password of CONSOLE_USERS_FILE; programs, with the password as a bearer
    /// token
    Basic,
    /// with a bearer token, which is a secret of CONSOLE_USERS_FILE
    Token,
    /// at a proxy, which names them in CONSOLE_USER_HEADER
    Proxy,
}

/// A network, or nothing where the list is empty.
#[derive(Debug, Clone)]
pub(super) struct OptionalNetwork(pub(super) Option<Network>);

impl FromStr for OptionalNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

/// What stands before the path of each page: nothing, or a path without a slash at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefix(pub(super) String);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if path.is_empty() || (path.starts_with('/') && path.chars().all(is_plain)) {
            return Ok(Self(path.to_owned()));
        }
        Err("it must look like /outbox: letters, digits, and / - . _ ~".to_owned())
    }
}

fn trace_url(text: &str) -> Result<String, String> {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    if is_web && text.contains("{trace_id}") {
        return Ok(text.to_owned());
    }
    Err("it must look like https://traces.example.com/trace/{trace_id}".to_owned())
}

impl ConsoleConfig {
    /// Checks what can't be checked one by one.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn check(&self) -> Result<(), String> {
        let AccessArgs { console_addr, console_auth, .. } = &self.access;
        let is_local = |address: IpAddr| address.is_loopback();
        let is_open = !console_addr.addresses().iter().all(|address| is_local(address.ip()));
        match console_auth {
            AuthKind::None if is_open => Err(format!(
                "CONSOLE_ADDR={console_addr} can be reached from other machines: set CONSOLE_AUTH to basic, token or proxy"
            )),
            AuthKind::Basic | AuthKind::Token if self.access.console_users_file.is_none() => Err(
                "CONSOLE_AUTH needs CONSOLE_USERS_FILE: a file with a line NAME:RIGHTS:SECRET for each user"
                    .to_owned(),
            ),
            AuthKind::Proxy if self.access.console_user_header.is_none() => Err(
                "CONSOLE_AUTH=proxy needs CONSOLE_USER_HEADER: the header in which the proxy names the user"
                    .to_owned(),
            ),
            AuthKind::Proxy if self.access.trusted_proxies().next().is_none() => Err(
                "CONSOLE_AUTH=proxy needs CONSOLE_TRUSTED_PROXIES: anybody else could send CONSOLE_USER_HEADER too"
                    .to_owned(),
            ),
            _ => self.webhook.check(),
        }
    }
}

impl AccessArgs {
    /// The networks whose headers are believed.
    pub(super) fn trusted_proxies(&self) -> impl Iterator<Item = Network> + '_ {
        self.console_trusted_proxies.iter().filter_map(|network| network.0)
    }

    /// What those may do who are not listed.
    pub(super) fn default_rights(&self) -> Rights {
        self.console_rights.unwrap_or(match self.console_auth {
            AuthKind::None => Rights::Admin,
            AuthKind::Basic | AuthKind::Token | AuthKind::Proxy => Rights::Viewer,
        })
    }
}
