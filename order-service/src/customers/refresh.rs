//! Asks for known customers again before they are forgotten. Without that, customers who came at the same moment are forgotten at the
//! same moment, and all requests of a busy service wait for the customer service at once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio_util::sync::CancellationToken;

use super::directory::{CustomerDirectory, RefreshQueue};

/// Calls at once: few of those that there may be, so that requests always find room for theirs.
const CONCURRENT_CALLS: usize = 4;

/// How long a call's turn lasts after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Asks for those who are due, behind the requests, until `shutdown`.
pub(crate) async fn refresh(
    mut due: RefreshQueue,
    directory: CustomerDirectory,
    shutdown: CancellationToken,
) {
    let all = poll_fn(|context| due.0.poll_recv(context)).for_each_concurrent(
        CONCURRENT_CALLS,
        async |id| {
            if !directory.refresh(id).await {
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        },
    );
    tokio::select! {
        () = all => (),
        () = shutdown.cancelled() => (),
    }
}
