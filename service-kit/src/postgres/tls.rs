//! TLS to PostgreSQL with the meanings of libpq's `sslmode`.

use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{DatabaseUrl, SslMode};
use crate::tls::{self, Trust};

/// The TLS side of a connection to `url`.
pub(super) fn connector(url: &DatabaseUrl) -> anyhow::Result<MakeRustlsConnect> {
    let mut config = tls::client_config(trust(url), &url.files)?;
    config.enable_sni = url.sends_name;
    Ok(MakeRustlsConnect::new(config))
}

/// Fails with what is wrong with the files that `url` names.
pub(super) fn check(url: &DatabaseUrl) -> anyhow::Result<()> {
    tls::check(trust(url), &url.files)
}

fn trust(url: &DatabaseUrl) -> Trust {
    match url.ssl_mode {
        SslMode::Disable | SslMode::Prefer => Trust::Anyone,
        SslMode::Require if url.files.authority.is_none() => Trust::Anyone,
        // As libpq: `require` with a root certificate means `verify-ca`.
        SslMode::Require | SslMode::VerifyCa => Trust::Authority,
        SslMode::VerifyFull => Trust::AuthorityAndName,
    }
}
