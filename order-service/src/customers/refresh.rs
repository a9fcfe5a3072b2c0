//! Refreshes cached customers before they expire. Otherwise customers that were cached together
//! would expire together, and all requests of a busy service would wait for the customer service at
//! once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio_util::sync::CancellationToken;

use super::directory::{CustomerDirectory, RefreshQueue};

/// Concurrent refreshes: few of the calls that may be in flight, so that requests find permits.
const CONCURRENT_CALLS: usize = 4;

/// How long a failed refresh occupies its place among the concurrent ones.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Refreshes the customers in the queue until `shutdown`.
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
