//! Asks for known customers again before they are forgotten. Without that, customers who came at the same moment are forgotten at the
//! same moment, and all requests of a busy service wait for the customer service at once.

use tokio_util::sync::CancellationToken;

use super::lookup::{Lookups, Renewals};

/// Asks for one customer after the other, behind the requests, until `shutdown`. Whoever can't be asked for lives out its time.
pub(crate) async fn renew(mut due: Renewals, lookups: Lookups, shutdown: CancellationToken) {
    let each = async {
        while let Some(id) = due.0.recv().await {
            lookups.find_anew(id).await;
        }
    };
    tokio::select! {
        () = each => (),
        () = shutdown.cancelled() => (),
    }
}
