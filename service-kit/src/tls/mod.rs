//! TLS to PostgreSQL and to RabbitMQ: certificates in files, and how a server is verified.

mod files;
mod verification;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;

pub use files::{Files, Parameters};
pub use verification::Verification;

/// Returns the rustls configuration for a server that is verified as `verification` says. Reads the
/// files each time, so that renewed certificates are used.
///
/// # Errors
/// When a file can't be read, or certificate and key don't fit.
pub fn client_config(verification: Verification, files: &Files) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verification.verifier(files, provider)?);
    match files.identity()? {
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| files.do_not_fit(&error)),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Checks the files, also those that `verification` does not use: a wrong path is a mistake either
/// way.
///
/// # Errors
/// When a file can't be read, or certificate and key don't fit.
pub fn check(verification: Verification, files: &Files) -> anyhow::Result<()> {
    if files.authority.is_some() {
        files.roots()?;
    }
    client_config(verification, files).map(drop)
}
