//! Certificates and keys in PEM files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The names of the URL parameters that name the files, for error messages.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Of the authorities' certificates.
    pub authority: &'static str,
    /// Of the client certificate.
    pub certificate: &'static str,
    /// Of the client certificate's key.
    pub key: &'static str,
}

/// The certificate and key files that a URL names.
#[derive(Debug, Clone)]
pub struct Files {
    /// How the URL calls them.
    pub parameters: Parameters,
    /// The authorities that must have signed the server's certificate; the system's if `None`.
    pub authority: Option<PathBuf>,
    /// The client certificate, with its intermediates.
    pub certificate: Option<PathBuf>,
    /// The client certificate's key.
    pub key: Option<PathBuf>,
}

impl Files {
    /// Returns no files: the system's authorities, and no client certificate.
    pub const fn none(parameters: Parameters) -> Self {
        Self { parameters, authority: None, certificate: None, key: None }
    }

    /// Reads the authorities that servers are verified against.
    pub(super) fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        let known = match &self.authority {
            Some(file) => certificates(file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        store.add_parsable_certificates(known);
        let parameter = self.parameters.authority;
        ensure!(!store.is_empty(), "no certificate authority is known: set {parameter}");
        Ok(store)
    }

    /// Reads the client certificate and its key.
    pub(super) fn identity(
        &self,
    ) -> anyhow::Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
        let Parameters { certificate, key, .. } = self.parameters;
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(file)) => {
                let key = PrivateKeyDer::from_pem_file(file)
                    .with_context(|| format!("{key} {} can't be read", file.display()))?;
                Ok(Some((certificates(certificate)?, key)))
            }
            (None, None) => Ok(None),
            _ => Err(anyhow!("{certificate} and {key} go together")),
        }
    }

    pub(super) fn do_not_fit(&self, error: &rustls::Error) -> anyhow::Error {
        let Parameters { certificate, key, .. } = self.parameters;
        anyhow!("{certificate} and {key} don't fit: {error}")
    }
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("the certificates in {} can't be read", file.display()))?;
    ensure!(!certificates.is_empty(), "{} holds no certificate", file.display());
    Ok(certificates)
}
