//! TLS to RabbitMQ, with the parameters of its URIs
//! (<https://www.rabbitmq.com/docs/uri-query-parameters>).

use std::path::PathBuf;

use rustls::ClientConfig;

use service_kit::tls::{self, Files, Parameters, Verification};

const PARAMETERS: Parameters =
    Parameters { authority: "cacertfile", certificate: "certfile", key: "keyfile" };

/// The name that the server's certificate must have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// The host of the URL.
    Host,
    /// Another name.
    Other(String),
    /// Nothing, and no name is sent.
    Disabled,
}

/// The TLS settings of one broker.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    verify: bool,
    name: Name,
    files: Files,
    given: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { verify: true, name: Name::Host, files: Files::none(PARAMETERS), given: false }
    }
}

impl TlsSettings {
    /// Reads a parameter of the URL. Returns true if it is one of TLS.
    pub(super) fn take(&mut self, parameter: &str, value: &str) -> Result<bool, String> {
        match parameter {
            "cacertfile" => self.files.authority = Some(PathBuf::from(value)),
            "certfile" => self.files.certificate = Some(PathBuf::from(value)),
            "keyfile" => self.files.key = Some(PathBuf::from(value)),
            "verify" => {
                self.verify = match value {
                    "verify_peer" => true,
                    "verify_none" => false,
                    other => {
                        return Err(format!(
                            "verify {other:?} is not one of verify_peer, verify_none"
                        ));
                    }
                }
            }
            "server_name_indication" => {
                self.name = match value {
                    "disable" => Name::Disabled,
                    name => Name::Other(name.to_owned()),
                }
            }
            _ => return Ok(false),
        }
        self.given = true;
        Ok(true)
    }

    /// Returns true if the URL has any of these parameters.
    pub(super) const fn are_given(&self) -> bool {
        self.given
    }

    /// Checks the files that the parameters name.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        tls::check(self.verification(), &self.files)
    }

    pub(super) fn client_config(&self) -> anyhow::Result<ClientConfig> {
        let mut config = tls::client_config(self.verification(), &self.files)?;
        config.enable_sni = self.name != Name::Disabled;
        Ok(config)
    }

    /// Returns the name that the certificate of the broker at `host` must have.
    pub(super) fn server_name(&self, host: &str) -> String {
        match &self.name {
            Name::Other(name) => name.clone(),
            Name::Host | Name::Disabled => host.to_owned(),
        }
    }

    fn verification(&self) -> Verification {
        match (self.verify, &self.name) {
            (false, _) => Verification::None,
            (true, Name::Disabled) => Verification::Authority,
            (true, Name::Host | Name::Other(_)) => Verification::Full,
        }
    }
}
