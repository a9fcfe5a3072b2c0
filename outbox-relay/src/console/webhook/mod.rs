//! The webhook: tells somebody else's program what is new.
//!
//! | file | what it does |
//! |---|---|
//! | `args` | settings |
//! | `news` | what is new since the console began |
//! | `source` | what news comes from, and whether it can be read |
//! | `post` | posts notices, and tries again |

mod args;
mod news;
mod post;
mod source;

use std::time::Instant;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Console;
use super::invocation::InvocationError;
use super::rights::Rights;
use super::users::User;

pub(super) use args::WebhookArgs;
use news::{LIMIT, News};
use post::Outcome;
pub(super) use post::client;
use source::Source;

/// Looks for news after each sample, and posts it, until `shutdown`.
pub(super) async fn run(
    args: &WebhookArgs,
    client: &reqwest::Client,
    console: &Console,
    shutdown: &CancellationToken,
) {
    post::describe();
    source::describe();
    if args.url().is_none() {
        return;
    }
    let (sender, queue) = mpsc::channel(post::QUEUE);
    let news = News::new(args.base(&console.prefix), console.environment.clone());
    let watch = async {
        tokio::select! {
            biased;
            // First, as a read that is stopped then is no failure.
            () = shutdown.cancelled() => (),
            () = watch(console, news, sender) => (),
        }
    };
    tokio::join!(watch, post::post_all(client, args, queue, shutdown));
}

/// Looks for news after each sample. What can't be read is looked at the next time.
async fn watch(console: &Console, mut news: News, notices: mpsc::Sender<news::Notice>) {
    let user = User { name: "console".to_owned(), rights: Rights::Viewer };
    let read = async |arguments: &[&str]| -> Result<Vec<Value>, InvocationError> {
        let arguments: Vec<String> =
            arguments.iter().chain(&["--json"]).map(|&text| text.to_owned()).collect();
        let output = console.commands.read(&arguments, &user).await?;
        output.values()
    };
    let (mut status, mut failures) = (Source::STATUS, Source::FAILURES);
    let mut letters = Source::DEAD_LETTERS;
    let limit = format!("--limit={LIMIT}");
    let mut has_begun = false;
    loop {
        console.history.next_sample().await;
        if let Some(status) = console.history.latest().and_then(|latest| status.read(latest)) {
            news.look_at_status(&status);
        }
        if let Some(reports) = failures.read(read(&["failures", &limit]).await) {
            reports.iter().for_each(|report| news.look_at_failures(report));
        }
        if console.has_desk {
            let rows = read(&["dead-letters", "list", "--state=any", &limit]).await;
            if let Some(rows) = letters.read(rows) {
                news.look_at_letters(&rows);
            }
        }
        if !has_begun && news.has_begun(console.has_desk) {
            has_begun = true;
            tracing::info!("the webhook is told what is new from here on");
        }
        for notice in news.take(Instant::now()) {
            if notices.try_send(notice).is_err() {
                tracing::warn!("a notice for the webhook is dropped: too many others wait");
                Outcome::Dropped.count(1);
            }
        }
    }
}
