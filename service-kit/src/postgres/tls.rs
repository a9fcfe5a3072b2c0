//! TLS to PostgreSQL with the meanings of libpq's `sslmode`.

use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::{self, Files, Verification};

/// How the server is authenticated: libpq's `sslmode`
/// (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it; any certificate.
    Prefer,
    /// TLS; any certificate, or as `VerifyCa` if a root certificate is given.
    Require,
    /// TLS; the certificate must come from a known authority.
    VerifyCa,
    /// TLS; the certificate must come from a known authority and name the host.
    VerifyFull,
}

/// The TLS settings of a URL.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    pub(super) files: Files,
    /// Whether the client sends the host's name (SNI).
    pub(super) sends_name: bool,
}

impl TlsSettings {
    /// Returns the TLS connector. Reads the files each time.
    pub(super) fn connector(&self) -> anyhow::Result<MakeRustlsConnect> {
        let mut config = tls::client_config(self.verification(), &self.files)?;
        config.enable_sni = self.sends_name;
        Ok(MakeRustlsConnect::new(config))
    }

    /// Checks the files.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        tls::check(self.verification(), &self.files)
    }

    fn verification(&self) -> Verification {
        match self.mode {
            SslMode::Disable | SslMode::Prefer => Verification::None,
            SslMode::Require if self.files.authority.is_none() => Verification::None,
            // As in libpq, `require` with a root certificate means `verify-ca`.
            SslMode::Require | SslMode::VerifyCa => Verification::Authority,
            SslMode::VerifyFull => Verification::Full,
        }
    }
}
