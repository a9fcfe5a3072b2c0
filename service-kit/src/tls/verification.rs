//! How a server's certificate is verified.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::files::Files;

/// How much of a server's certificate is verified, as with libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: the connection is encrypted, but not authenticated (`require`).
    None,
    /// A known authority must have signed it, for any name (`verify-ca`).
    Authority,
    /// A known authority must have signed it for the host's name (`verify-full`).
    Full,
}

impl Verification {
    pub(super) fn verifier(
        self,
        files: &Files,
        provider: Arc<CryptoProvider>,
    ) -> anyhow::Result<Arc<dyn ServerCertVerifier>> {
        let algorithms = provider.signature_verification_algorithms;
        let full = || -> anyhow::Result<_> {
            let roots = Arc::new(files.roots()?);
            Ok(WebPkiServerVerifier::builder_with_provider(roots, provider).build()?)
        };
        Ok(match self {
            Self::None => Arc::new(LenientVerifier { chain: None, algorithms }),
            Self::Authority => Arc::new(LenientVerifier { chain: Some(full()?), algorithms }),
            Self::Full => full()?,
        })
    }
}

/// Accepts a certificate for any name. The server must hold the certificate's key in any case.
#[derive(Debug)]
struct LenientVerifier {
    /// Verifies the chain up to a known authority; `None`: any certificate is accepted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for LenientVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is checked last, after the chain.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
