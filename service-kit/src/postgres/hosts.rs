//! How a pool makes its connections.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::drive;
use super::open::{Purpose, open};
use super::tls::connector;
use super::url::DatabaseUrl;

/// The hosts of a URL, as a pool turns to them. Clones share what was said last.
#[derive(Clone)]
pub(super) struct Hosts {
    url: DatabaseUrl,
    tls: MakeRustlsConnect,
    unreached: Arc<Mutex<Option<String>>>,
}

impl Hosts {
    pub(super) fn new(url: &DatabaseUrl) -> anyhow::Result<Self> {
        Ok(Self { url: url.clone(), tls: connector(url)?, unreached: Arc::default() })
    }

    /// Why no host answered the last time: the driver's error, which the pool hands on, knows of one host alone.
    pub(super) fn unreached(&self) -> Option<String> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("url", &self.url).finish_non_exhaustive()
    }
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for Hosts {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        Box::pin(async move {
            // Certificates may have been renewed; while they can't be read, the ones of the start have to do.
            let tls = connector(&self.url).unwrap_or_else(|_| self.tls.clone());
            let unreached = match open(&self.url, &config, &tls, Purpose::AsTheUrlSays).await {
                Ok((client, connection)) => return Ok((client, drive(connection))),
                Err(unreached) => unreached,
            };
            *self.unreached.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(unreached.to_string());
            match unreached.into_error() {
                Some(error) => Err(error),
                // Only silence, which is no error of the driver's: the pool's own limit is over in a moment.
                None => std::future::pending().await,
            }
        })
    }
}
