//! Asking the customer service.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::Customer;
use super::call::Call;
use crate::domain::CustomerId;

/// The largest answer that is read: far more than a customer needs.
const MAX_ANSWER: usize = 16 * 1024;

/// Where the customer service is: `http` or `https`, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "it must look like http://host:3001";
        let mut url: Url = text.parse().map_err(|_| FORM.to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            return Err(FORM.to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must not hold a user or a password".to_owned());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the customer service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Known(Customer),
    /// There is no such customer: a 404 and nothing else.
    Unknown,
}

/// A client with time limits and pooled connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: BaseUrl,
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
        Ok(Self { http, base })
    }

    /// Asks for a customer. Fails with a sentence when the answer does not come in time or is of no use.
    pub(super) async fn find(&self, id: CustomerId) -> Result<Answer, String> {
        let url = self.url(&format!("api/customers/{}", id.0))?;
        let call = Call::begin("/api/customers/{id}", &url);
        let found = self.ask(url, &call).await;
        if let Err(reason) = &found {
            call.failed(reason);
        }
        found
    }

    async fn ask(&self, url: Url, call: &Call) -> Result<Answer, String> {
        let mut answer = self.get(url, call).await?;
        match answer.status() {
            StatusCode::OK => (),
            StatusCode::NOT_FOUND => return Ok(Answer::Unknown),
            other => return Err(format!("it answered {other}")),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| words(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err("its answer is too large".to_owned());
            }
            bytes.extend_from_slice(&chunk);
        }
        let body: Body =
            serde_json::from_slice(&bytes).map_err(|_| "its answer is no customer".to_owned())?;
        Ok(Answer::Known(Customer { name: body.name, address: body.address }))
    }

    /// Whether the service lives.
    pub(super) async fn ping(&self) -> Result<(), String> {
        match self.get(self.url("up")?, &Call::untraced()).await?.status() {
            StatusCode::OK => Ok(()),
            other => Err(format!("it answered {other}")),
        }
    }

    fn url(&self, path: &str) -> Result<Url, String> {
        self.base.0.join(path).map_err(|error| error.to_string())
    }

    async fn get(&self, url: Url, call: &Call) -> Result<reqwest::Response, String> {
        let request = call
            .headers()
            .fold(self.http.get(url), |request, (name, value)| request.header(name, value));
        let answer = request.send().await.map_err(|error| words(&error))?;
        call.answered(answer.status());
        Ok(answer)
    }
}

/// The error's cause, without the URL.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_have_a_path_and_no_password() {
        let url: BaseUrl = "http://gateway:8080/customers".parse().expect("a good URL");
        let call = url.0.join("api/customers/7").expect("a good path");
        assert_eq!(call.as_str(), "http://gateway:8080/customers/api/customers/7");
        for bad in ["", "customer-service:3001", "ftp://h/", "http://u:hunter2@h/", "http://h/?a=b"]
        {
            let error = bad.parse::<BaseUrl>().expect_err(bad);
            assert!(!error.contains("hunter2"));
        }
    }
}
