//! Whether the customer service is there, for `/readyz`; nothing else depends on it.

use std::time::Duration;

use service_kit::health::Dependency;
use tokio_util::sync::CancellationToken;

use super::client::Client;

/// Asks every few seconds until `shutdown`.
pub(crate) async fn watch(client: Client, dependency: Dependency, shutdown: CancellationToken) {
    loop {
        let answer = tokio::select! {
            () = shutdown.cancelled() => return,
            answer = client.ping() => answer,
        };
        match answer {
            Ok(()) => dependency.up(),
            Err(reason) => dependency.down(reason),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(5)) => (),
        }
    }
}
