//! A certificate authority for one test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use stack::ServerTls;

/// An authority with a folder for its files, removed on drop.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

/// The files of a client's certificate.
#[derive(Debug)]
pub struct ClientFiles {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// When its folder can't be written.
    pub fn new() -> anyhow::Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("authority-{}-{number}", std::process::id());
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, &*name);
        let dir = stack::stack_dir()?.join(name);
        std::fs::create_dir_all(&dir)?;
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { issuer, dir };
        authority.write("authority.pem", &authority.issuer.pem())?;
        Ok(authority)
    }

    /// The file with its certificate.
    #[must_use]
    pub fn file(&self) -> String {
        self.path("authority.pem")
    }

    /// A certificate for a server with these names. With `clients`, clients must present a
    /// certificate of that authority.
    ///
    /// # Errors
    /// When a name can't be one.
    pub fn server(&self, names: &[&str], clients: Option<&Self>) -> anyhow::Result<ServerTls> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let (certificate, key) = self.sign(names, ExtendedKeyUsagePurpose::ServerAuth)?;
        Ok(ServerTls { certificate, key, clients: clients.map(|clients| clients.issuer.pem()) })
    }

    /// A client's certificate.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn client(&self) -> anyhow::Result<ClientFiles> {
        let (certificate, key) =
            self.sign(vec!["client".to_owned()], ExtendedKeyUsagePurpose::ClientAuth)?;
        self.write("client.pem", &certificate)?;
        self.write("client.key", &key)?;
        Ok(ClientFiles { certificate: self.path("client.pem"), key: self.path("client.key") })
    }

    fn sign(
        &self,
        names: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<(String, String)> {
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        stack::write_private(&self.dir.join(name), content)
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // No other test sees what could not be removed.
        std::fs::remove_dir_all(&self.dir).ok();
    }
}
