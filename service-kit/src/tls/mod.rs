//! What TLS to PostgreSQL and TLS to RabbitMQ have in common: certificates in files, and which server is believed.

mod files;
mod trust;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;

pub(crate) use files::{Files, Parameters};
pub(crate) use trust::Trust;

/// The TLS side of a connection to a server that is believed as `trust` says. The files are read anew each time, so that
/// certificates that were renewed meanwhile are used.
pub(crate) fn client_config(trust: Trust, files: &Files) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier(files, provider)?);
    match files.identity()? {
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| files.do_not_fit(&error)),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Fails with what is wrong with the files, also where `trust` makes no use of them: whoever names an authority does not
/// want to go without it unawares.
pub(crate) fn check(trust: Trust, files: &Files) -> anyhow::Result<()> {
    if files.authority.is_some() {
        files.roots()?;
    }
    client_config(trust, files).map(drop)
}
