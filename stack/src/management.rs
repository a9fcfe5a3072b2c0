//! The few calls of RabbitMQ's management API that the stack needs.
//! See <https://www.rabbitmq.com/docs/http-api-reference>.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// RabbitMQ itself gives up after 45 s at most, and says what it waited for.
const ANSWER: Duration = Duration::from_secs(60);

/// For how long a node may list a connection that has ended: it takes its figures each 5 s.
const LISTED_FOR: Duration = Duration::from_secs(15);

/// A client of one node's management API.
#[derive(Debug)]
pub struct Management {
    base: String,
    http: reqwest::Client,
}

impl Management {
    /// For a base URL such as `http://user:password@127.0.0.1:15672`.
    ///
    /// # Errors
    /// When the HTTP client can't be built.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http: http_client()? })
    }

    /// The answer's JSON; none for 404.
    ///
    /// # Errors
    /// When the node does not answer or refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(status.is_success(), "RabbitMQ answered GET {path} with {status}: {body}");
        Ok(Some(serde_json::from_str(&body)?))
    }

    /// Creates or changes something.
    ///
    /// # Errors
    /// When the node does not answer or refuses.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let (status, answer) = self.call(Method::PUT, path, Some(body)).await?;
        ensure!(status.is_success(), "RabbitMQ answered PUT {path} with {status}: {answer}");
        Ok(())
    }

    /// Deletes something. Succeeds if it does not exist.
    ///
    /// # Errors
    /// When the node does not answer or refuses.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let (status, answer) = self.call(Method::DELETE, path, None).await?;
        let gone = status.is_success() || status == StatusCode::NOT_FOUND;
        ensure!(gone, "RabbitMQ answered DELETE {path} with {status}: {answer}");
        Ok(())
    }

    /// Closes the connections of all clients that the node lists. One that was opened in the last
    /// 5 s may not be listed yet, and stays open. Returns how many were listed.
    ///
    /// # Errors
    /// When the node does not answer or refuses.
    pub async fn close_connections(&self) -> anyhow::Result<usize> {
        let connections = self.get("/api/connections").await?.unwrap_or_default();
        let connections = connections.as_array().map_or(&[][..], Vec::as_slice);
        for connection in connections {
            let name = connection["name"].as_str().unwrap_or_default();
            let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            self.close_connection(&format!("/api/connections/{escaped}")).await?;
        }
        Ok(connections.len())
    }

    /// Closes one connection. If its client ends it meanwhile, the node answers 500, and lists it
    /// until it next takes its figures.
    async fn close_connection(&self, connection: &str) -> anyhow::Result<()> {
        let Err(refusal) = self.delete(connection).await else { return Ok(()) };
        let has_ended = async {
            while self.get(connection).await?.is_some() {
                sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        timeout(LISTED_FOR, has_ended).await.unwrap_or(Err(refusal))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, String)> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let mut request = request.timeout(ANSWER);
        if let Some(body) = body {
            request = request.json(body);
        }
        // Keeps the URL, which contains the password, out of the error.
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer.context("RabbitMQ's management API does not answer")?;
        Ok((answer.status(), answer.text().await?))
    }
}

/// A client for plain HTTP on this machine: no proxy, no certificates to load.
///
/// # Errors
/// When the HTTP client can't be built.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    Ok(http_client_builder()?.build()?)
}

/// The same, to be completed.
///
/// # Errors
/// When TLS can't be set up.
pub fn http_client_builder() -> anyhow::Result<reqwest::ClientBuilder> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(Duration::from_secs(20));
    Ok(client)
}
