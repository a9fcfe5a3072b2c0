//! Certificates and keys in PEM files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the parameters are called that name the files, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameters {
    pub(crate) authority: &'static str,
    pub(crate) certificate: &'static str,
    pub(crate) key: &'static str,
}

/// The files that a URL names.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) parameters: Parameters,
    /// The authorities that servers' certificates must come from; the system's when there is none.
    pub(crate) authority: Option<PathBuf>,
    /// Our own certificate, with those between it and its authority.
    pub(crate) certificate: Option<PathBuf>,
    /// The key of our own certificate.
    pub(crate) key: Option<PathBuf>,
}

impl Files {
    pub(crate) const fn none(parameters: Parameters) -> Self {
        Self { parameters, authority: None, certificate: None, key: None }
    }

    /// The authorities that are known.
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

    /// Our own certificate and its key.
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
