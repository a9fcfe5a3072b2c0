//! Asking the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::Customer;
use super::base_url::BaseUrl;
use super::call::Call;
use super::not_found::NotFound;
use crate::domain::CustomerId;

/// The largest answer that is read: far more than a customer needs.
const MAX_ANSWER: usize = 16 * 1024;

/// How long it is remembered whether `/up` answers.
const UP_REMEMBERED: Duration = Duration::from_secs(5);

/// What the customer service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Known(Customer),
    /// There is no such customer.
    Unknown,
}

/// Why there is no [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("it did not answer in time")]
    TimedOut,
    /// It can't be reached or answers something else: a sentence.
    #[error("{0}")]
    Useless(String),
}

/// A client with time limits and pooled connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    limit: Duration,
    /// When `/up` was asked last, and whether it answered. Locked while it is asked, so that a crowd asks once.
    up: Arc<Mutex<Option<(Instant, bool)>>>,
}

#[derive(Deserialize)]
struct Body {
    name: String,
    address: String,
}

impl Client {
    /// A client for the service at `base`: `connect` for a new connection, `whole` for a whole call.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(base: BaseUrl, connect: Duration, whole: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(connect)
            .timeout(whole)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(32)
            // Shorter than what servers usually keep an idle connection for.
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("order-service/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, base, limit: whole, up: Arc::default() })
    }

    /// How long a whole call may take.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// A call for a customer, as a part of the trace of whoever begins it.
    pub(super) fn begin(&self) -> Call {
        Call::begin("/api/customers/{id}")
    }

    /// Asks for a customer, within the [limit](Self::limit).
    pub(super) async fn find(&self, id: CustomerId, call: &Call) -> Result<Answer, Failure> {
        let found = tokio::time::timeout(self.limit, self.ask(id, call)).await;
        let found = found.unwrap_or(Err(Failure::TimedOut));
        if let Err(failure) = &found {
            call.failed(&failure.to_string());
        }
        found
    }

    async fn ask(&self, id: CustomerId, call: &Call) -> Result<Answer, Failure> {
        let mut answer = self.get(&format!("api/customers/{}", id.0), call).await?;
        let status = answer.status();
        if !matches!(status, StatusCode::OK | StatusCode::NOT_FOUND) {
            return Err(Failure::Useless(format!("it answered {status}")));
        }
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Failure::Useless("its answer is too large".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status == StatusCode::NOT_FOUND {
            let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
            return self.not_found(NotFound::read(content_type, &bytes)).await;
        }
        let body: Body = serde_json::from_slice(&bytes)
            .map_err(|_| Failure::Useless("its answer is no customer".to_owned()))?;
        Ok(Answer::Known(Customer { name: body.name, address: body.address }))
    }

    async fn not_found(&self, meaning: NotFound) -> Result<Answer, Failure> {
        let is_the_customers = match meaning {
            NotFound::Customer => true,
            // While releases mix: what answers /up under the same base is the service itself.
            NotFound::Untyped => self.is_up().await,
            NotFound::Foreign => false,
        };
        if !is_the_customers {
            let reason = "it answered 404, and not that there is no such customer";
            return Err(Failure::Useless(reason.to_owned()));
        }
        Ok(Answer::Unknown)
    }

    /// Whether `/up` answers, or did a moment ago.
    async fn is_up(&self) -> bool {
        let mut remembered = self.up.lock().await;
        if let Some((asked, is_up)) = *remembered
            && asked.elapsed() < UP_REMEMBERED
        {
            return is_up;
        }
        let asked = Instant::now();
        let is_up = self.ping().await.is_ok();
        *remembered = Some((asked, is_up));
        is_up
    }

    /// Whether the service lives.
    pub(super) async fn ping(&self) -> Result<(), String> {
        match self
            .get("up", &Call::untraced())
            .await
            .map_err(|failure| failure.to_string())?
            .status()
        {
            StatusCode::OK => Ok(()),
            other => Err(format!("it answered {other}")),
        }
    }

    async fn get(&self, path: &str, call: &Call) -> Result<reqwest::Response, Failure> {
        let url: Url = self.base.join(path).map_err(Failure::Useless)?;
        call.sent(&url);
        let request = call
            .headers()
            .fold(self.http.get(url), |request, (name, value)| request.header(name, value));
        let answer = request.send().await.map_err(|error| failure(&error))?;
        call.answered(answer.status());
        Ok(answer)
    }
}

/// The error's cause, without the URL.
fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::TimedOut;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::Useless(cause.to_string())
}
