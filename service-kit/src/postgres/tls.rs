//! TLS to PostgreSQL with the meanings of libpq's `sslmode`.

use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{DatabaseUrl, SslMode};
use crate::tls::{self, Verification};

/// The TLS side of a connection to `url`.
pub(super) fn connector(url: &DatabaseUrl) -> anyhow::Result<MakeRustlsConnect> {
    let mut config = tls::client_config(verification(url), &url.files)?;
    config.enable_sni = url.sends_name;
    Ok(MakeRustlsConnect::new(config))
}

/// Fails with what is wrong with the files that `url` names.
pub(super) fn check(url: &DatabaseUrl) -> anyhow::Result<()> {
    tls::check(verification(url), &url.files)
}

fn verification(url: &DatabaseUrl) -> Verification {
    match url.ssl_mode {
        SslMode::Disable | SslMode::Prefer => Verification::None,
        SslMode::Require if url.files.authority.is_none() => Verification::None,
        // As libpq: `require` with a root certificate means `verify-ca`.
        SslMode::Require | SslMode::VerifyCa => Verification::Authority,
        SslMode::VerifyFull => Verification::Full,
    }
}
