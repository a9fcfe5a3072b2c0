//! The HTTP client of the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use service_kit::health::Dependency;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Customer;
use super::base_url::BaseUrl;
use super::call_span::CallSpan;
use super::not_found::NotFound;
use crate::domain::CustomerId;

/// The largest response body that is read: far more than a customer needs.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long the result of asking `/up` is reused.
const UP_TTL: Duration = Duration::from_secs(5);

/// Why a call did not tell whether there is such a customer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("it did not answer in time")]
    TimedOut,
    /// The service can't be reached, or its response is unusable: a sentence.
    #[error("{0}")]
    Unusable(String),
}

/// How often the health check asks `/up`.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// A client with time limits and pooled connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    limit: Duration,
    /// When `/up` was asked last, and whether it answered. Locked while it is asked, so that
    /// concurrent requests ask once.
    up: Arc<Mutex<Option<(Instant, bool)>>>,
}

#[derive(Deserialize)]
struct Body {
    name: String,
    address: String,
}

impl Client {
    /// A client for the service at `base`, with time limits for connecting and for a whole call.
    ///
    /// # Errors
    /// If TLS can't be set up.
    pub(crate) fn new(base: BaseUrl, connect: Duration, whole: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(connect)
            .timeout(whole)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(32)
            // Shorter than the idle timeout of most servers.
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("order-service/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base, limit: whole, up: Arc::default() })
    }

    /// The time limit of a whole call.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Starts the span of a call for a customer, in the current trace.
    pub(super) fn start_span(&self) -> CallSpan {
        CallSpan::start("/api/customers/{id}")
    }

    /// Asks for a customer, within the [limit](Self::limit). Returns `None` if there is no such
    /// customer.
    pub(super) async fn find(
        &self,
        id: CustomerId,
        call: &CallSpan,
    ) -> Result<Option<Customer>, CallError> {
        let found = tokio::time::timeout(self.limit, self.ask(id, call)).await;
        let found = found.unwrap_or(Err(CallError::TimedOut));
        if let Err(failure) = &found {
            call.failed(&failure.to_string());
        }
        found
    }

    async fn ask(&self, id: CustomerId, call: &CallSpan) -> Result<Option<Customer>, CallError> {
        let mut answer = self.get(&format!("api/customers/{}", id.0), call).await?;
        let status = answer.status();
        if !matches!(status, StatusCode::OK | StatusCode::NOT_FOUND) {
            return Err(CallError::Unusable(format!("it answered {status}")));
        }
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| call_error(&error))? {
            if bytes.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(CallError::Unusable("its answer is too large".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status == StatusCode::NOT_FOUND {
            let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
            return self.not_found(NotFound::read(content_type, &bytes)).await;
        }
        let body: Body = serde_json::from_slice(&bytes)
            .map_err(|_| CallError::Unusable("its answer is no customer".to_owned()))?;
        Ok(Some(Customer { name: body.name, address: body.address }))
    }

    async fn not_found(&self, meaning: NotFound) -> Result<Option<Customer>, CallError> {
        let is_from_the_service = match meaning {
            NotFound::Customer => true,
            // For a customer service of an earlier release: what answers /up is the service itself.
            NotFound::Untyped => self.is_up().await,
            NotFound::Foreign => false,
        };
        if !is_from_the_service {
            let reason = "it answered 404, and not that there is no such customer";
            return Err(CallError::Unusable(reason.to_owned()));
        }
        Ok(None)
    }

    /// Returns whether `/up` answers, or did a moment ago.
    async fn is_up(&self) -> bool {
        let mut remembered = self.up.lock().await;
        if let Some((asked, is_up)) = *remembered
            && asked.elapsed() < UP_TTL
        {
            return is_up;
        }
        let asked = Instant::now();
        let is_up = self.ping().await.is_ok();
        *remembered = Some((asked, is_up));
        is_up
    }

    /// Asks `/up`.
    ///
    /// # Errors
    /// If the service does not answer 200, with the reason.
    pub(super) async fn ping(&self) -> Result<(), String> {
        match self
            .get("up", &CallSpan::disabled())
            .await
            .map_err(|failure| failure.to_string())?
            .status()
        {
            StatusCode::OK => Ok(()),
            other => Err(format!("it answered {other}")),
        }
    }

    async fn get(&self, path: &str, call: &CallSpan) -> Result<reqwest::Response, CallError> {
        let url: Url = self.base.join(path).map_err(CallError::Unusable)?;
        call.set_url(&url);
        let request = call
            .headers()
            .fold(self.http.get(url), |request, (name, value)| request.header(name, value));
        let answer = request.send().await.map_err(|error| call_error(&error))?;
        call.set_status(answer.status());
        Ok(answer)
    }
}

/// Reports to `/readyz` whether the customer service is up, until `shutdown`. Nothing else depends
/// on it.
pub(crate) async fn health_check(
    client: Client,
    dependency: Dependency,
    shutdown: CancellationToken,
) {
    while let Some(answer) = shutdown.run_until_cancelled(client.ping()).await {
        match answer {
            Ok(()) => dependency.up(),
            Err(reason) => dependency.down(reason),
        }
        shutdown.run_until_cancelled(tokio::time::sleep(HEALTH_CHECK_INTERVAL)).await;
    }
}

/// The root cause of the error, without the URL.
fn call_error(error: &reqwest::Error) -> CallError {
    if error.is_timeout() {
        return CallError::TimedOut;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    CallError::Unusable(cause.to_string())
}
