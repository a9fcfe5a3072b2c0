//! Who sends a request.

use std::net::IpAddr;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::http::{HeaderMap, HeaderName, header};

use super::attempts::Attempts;
use super::config::{AccessArgs, AuthKind};
use super::rights::Rights;
use super::users::{User, Users};

/// The longest name that a proxy may give.
const LONGEST_NAME: usize = 200;

/// Finds out who sends a request.
pub(super) struct Login {
    kind: AuthKind,
    users: Users,
    default_rights: Rights,
    user_header: Option<HeaderName>,
    attempts: Attempts,
    /// Who uses a console without logins, for the audit table: the user of this process.
    local_user: String,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has no credentials, or wrong ones.
    Unauthenticated {
        /// What a browser is to ask for.
        challenge: Option<&'static str>,
        detail: &'static str,
    },
    /// Too many wrong ones came from its address.
    TooManyAttempts { seconds: u64 },
}

impl Login {
    /// Reads the file of users.
    ///
    /// # Errors
    /// When it can't be read or has a wrong line, or a setting is wrong.
    pub(super) fn new(args: &AccessArgs) -> anyhow::Result<Self> {
        let needs_secrets = matches!(args.console_auth, AuthKind::Basic | AuthKind::Token);
        let users = match &args.console_users_file {
            Some(path) => Users::read(path, needs_secrets)?,
            None => Users::default(),
        };
        let user_header = args.console_user_header.as_deref().map(str::parse).transpose();
        let user_header = user_header
            .map_err(|_| anyhow::anyhow!("CONSOLE_USER_HEADER is no name of a header"))?;
        let local_user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        let local_user = local_user.ok().flatten().map(|user| user.name);
        Ok(Self {
            kind: args.console_auth,
            users,
            default_rights: args.default_rights(),
            user_header,
            attempts: Attempts::default(),
            local_user: local_user.unwrap_or_else(|| "console".to_owned()),
        })
    }

    /// Returns who sends a request with these headers from `address`; `is_proxy` tells whether that
    /// is a trusted proxy.
    pub(super) fn user(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        is_proxy: bool,
    ) -> Result<User, Refusal> {
        match self.kind {
            AuthKind::None => {
                Ok(User { name: self.local_user.clone(), rights: self.default_rights })
            }
            // People with passwords, and programs with tokens.
            AuthKind::Basic => self.check(address, Some("Basic realm=\"outbox\""), || {
                Some(match basic(headers) {
                    Some((name, secret)) => self.users.with_password(&name, &secret),
                    None => self.users.with_token(bearer(headers)?),
                })
            }),
            AuthKind::Token => self.check(address, Some("Bearer realm=\"outbox\""), || {
                Some(self.users.with_token(bearer(headers)?))
            }),
            AuthKind::Proxy => self.named_by_proxy(headers, is_proxy),
        }
    }

    /// Returns the user of the credentials that `find` reads: none, wrong ones, or a user's.
    fn check(
        &self,
        address: IpAddr,
        challenge: Option<&'static str>,
        find: impl FnOnce() -> Option<Option<User>>,
    ) -> Result<User, Refusal> {
        let now = Instant::now();
        if let Some(left) = self.attempts.must_wait(address, now) {
            return Err(Refusal::TooManyAttempts { seconds: left.as_secs() + 1 });
        }
        match find() {
            Some(Some(user)) => Ok(user),
            Some(None) => {
                self.attempts.note_wrong(address, now);
                tracing::warn!(%address, "a wrong name or secret was sent");
                Err(Refusal::Unauthenticated {
                    challenge,
                    detail: "The name or the secret is wrong.",
                })
            }
            None => Err(Refusal::Unauthenticated { challenge, detail: "Log in first." }),
        }
    }

    fn named_by_proxy(&self, headers: &HeaderMap, is_proxy: bool) -> Result<User, Refusal> {
        let refused = |detail| Err(Refusal::Unauthenticated { challenge: None, detail });
        if !is_proxy {
            return refused(
                "The console is used through its proxy. CONSOLE_TRUSTED_PROXIES does not contain the address that this request came from.",
            );
        }
        let named = self.user_header.as_ref().map(|name| headers.get_all(name));
        let mut named = named.into_iter().flatten();
        let (Some(name), None) = (named.next(), named.next()) else {
            return refused("The proxy does not name one user in CONSOLE_USER_HEADER.");
        };
        let name = name.to_str().unwrap_or_default().trim();
        if name.is_empty() || name.len() > LONGEST_NAME {
            return refused("The proxy does not name a user in CONSOLE_USER_HEADER.");
        }
        let rights = self.users.rights_of(name).unwrap_or(self.default_rights);
        Ok(User { name: name.to_owned(), rights })
    }
}

/// The name and the password of RFC 7617.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = credentials(headers, "basic")?;
    let text = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // What can't be read is wrong, not absent.
    let text = text.unwrap_or_default();
    let (name, secret) = text.split_once(':').unwrap_or_default();
    Some((name.to_owned(), secret.to_owned()))
}

/// The token of RFC 6750.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "bearer")
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}
