//! TLS of a temporary server.

use std::path::{Path, PathBuf};

use crate::checkout::give_to_postgres;
use crate::secret::write_private;

/// A server's TLS configuration, in PEM.
#[derive(Clone)]
pub struct ServerTls {
    /// Its certificate.
    pub certificate: String,
    /// The certificate's key.
    pub key: String,
    /// The authority that must have signed the clients' certificates; `None` if clients need no
    /// certificate.
    pub clients: Option<String>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// The same as files in the server's folder.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<PathBuf>,
}

impl ServerTls {
    fn write(&self, dir: &Path) -> anyhow::Result<Files> {
        let write = |name: &str, content: &str| {
            let path = dir.join(name);
            write_private(&path, content).map(|()| path)
        };
        let clients = self.clients.as_deref().map(|clients| write("clients.pem", clients));
        Ok(Files {
            certificate: write("server.pem", &self.certificate)?,
            key: write("server.key", &self.key)?,
            clients: clients.transpose()?,
        })
    }

    /// Settings for PostgreSQL: every role but the superuser must use TLS.
    pub(crate) fn for_postgres(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let Files { certificate, key, clients } = self.write(dir)?;
        let check = if clients.is_some() { " clientcert=verify-ca" } else { "" };
        let rules = dir.join("pg_hba.conf");
        let allowed = format!(
            "hostnossl all postgres 127.0.0.1/32 password\n\
             hostssl all all 127.0.0.1/32 password{check}\n"
        );
        write_private(&rules, &allowed)?;
        let mut settings = vec![("ssl_cert_file", certificate), ("ssl_key_file", key)];
        settings.push(("hba_file", rules));
        settings.extend(clients.map(|clients| ("ssl_ca_file", clients)));
        for (_, path) in &settings {
            give_to_postgres(path)?;
        }
        let settings = settings.iter().map(|(name, path)| format!("{name}={}", path.display()));
        Ok(settings.chain(["ssl=on".to_owned()]).collect())
    }

    /// Lines of RabbitMQ's configuration: TLS on a separate port.
    pub(crate) fn for_rabbitmq(&self, dir: &Path, port: u16) -> anyhow::Result<String> {
        let Files { certificate, key, clients } = self.write(dir)?;
        let mut lines = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n",
            certificate.display(),
            key.display()
        );
        if let Some(clients) = clients {
            lines += &format!(
                "ssl_options.cacertfile = {}\n\
                 ssl_options.verify = verify_peer\n\
                 ssl_options.fail_if_no_peer_cert = true\n",
                clients.display()
            );
        }
        Ok(lines)
    }
}
