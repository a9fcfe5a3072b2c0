//! Posts notices, one at a time.

use std::time::Duration;

use metrics::{counter, describe_counter};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::redirect::Policy;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::args::WebhookArgs;
use super::news::Notice;

/// How long the webhook may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The time before it is tried again, which doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How often a notice is tried.
const ATTEMPTS: u32 = 5;

/// How many notices wait for their turn.
pub(super) const QUEUE: usize = 16;

const NOTICES: &str = "outbox_console_notices_total";

/// What became of a notice.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Posted,
    /// The webhook did not take it.
    Failed,
    /// Too many others waited.
    Dropped,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Posted, Self::Failed, Self::Dropped];

    /// Counts some notices.
    pub(super) fn count(self, notices: u64) {
        let outcome = match self {
            Self::Posted => "posted",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        };
        counter!(NOTICES, "outcome" => outcome).increment(notices);
    }
}

/// Registers the metric.
pub(super) fn describe() {
    describe_counter!(NOTICES, "Notices for the webhook (CONSOLE_WEBHOOK_URL), by their outcome");
    Outcome::ALL.into_iter().for_each(|outcome| outcome.count(0));
}

/// Makes the client of the webhook.
///
/// # Errors
/// If TLS can't be set up.
pub(in crate::console) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(LIMIT)
        // The token is for the webhook alone.
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("outbox-console/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Posts what comes from `queue` until `shutdown`. What waits then is lost.
pub(super) async fn post_all(
    client: &reqwest::Client,
    args: &WebhookArgs,
    mut queue: mpsc::Receiver<Notice>,
    shutdown: &CancellationToken,
) {
    let work = async {
        while let Some(notice) = queue.recv().await {
            post(client, args, &notice).await.count(1);
        }
    };
    tokio::select! {
        () = work => (),
        () = shutdown.cancelled() => (),
    }
}

/// Posts a notice, several times if it fails.
async fn post(client: &reqwest::Client, args: &WebhookArgs, notice: &Notice) -> Outcome {
    let mut wait = FIRST_WAIT;
    for attempt in 1..=ATTEMPTS {
        let error = match try_once(client, args, notice).await {
            Ok(()) => return Outcome::Posted,
            Err(error) => error,
        };
        tracing::warn!(attempt, "the webhook did not take a notice: {error}");
        if attempt < ATTEMPTS {
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
    tracing::error!(attempts = ATTEMPTS, "a notice for the webhook is given up");
    Outcome::Failed
}

async fn try_once(
    client: &reqwest::Client,
    args: &WebhookArgs,
    notice: &Notice,
) -> Result<(), String> {
    let Some(url) = args.url() else { return Ok(()) };
    let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    let mut request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
    if let Some(authorization) = args.authorization() {
        request = request.header(AUTHORIZATION, authorization);
    }
    // Its address may be a secret. The sources say what went wrong.
    let with_sources =
        |error: reqwest::Error| format!("{:#}", anyhow::Error::new(error.without_url()));
    let response = request.send().await.map_err(with_sources)?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}
