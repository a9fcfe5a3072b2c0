//! The loop that writes what waits.

use service_kit::postgres::Database;
use tokio_util::sync::CancellationToken;

use super::batch;
use super::reader::Line;

/// Writes batch after batch until `shutdown`; what waits by then is written first.
pub(crate) async fn write(mut line: Line, database: Database, shutdown: CancellationToken) {
    loop {
        let waiting = tokio::select! {
            biased;
            Some(waiting) = line.batch() => waiting,
            () = shutdown.cancelled() => return,
        };
        batch::write(&database, waiting).await;
    }
}
