//! Puts the relay together.

use service_kit::health::Health;
use service_kit::ops;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::relay::{self, Relay};
use crate::{prune, prune_audit};

/// Publishes events until `shutdown`, and serves the operations port.
///
/// # Errors
/// When the operations port fails. A database or a broker that can't be used is waited for.
pub async fn run(
    config: Config,
    ops_listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let health = Health::default();
    let relay = Relay::new(config.clone(), &health, shutdown.clone());
    // The port answers until the last event is settled.
    let ops_stop = CancellationToken::new();
    let ops = ops::serve(ops_listener, health, shutdown.clone(), ops_stop.clone());
    let work = async {
        tokio::join!(
            Box::pin(relay::run(relay)),
            prune::run(&config, shutdown.clone()),
            prune_audit::run(&config, shutdown)
        );
        ops_stop.cancel();
        Ok(())
    };
    tokio::try_join!(work, ops).map(drop)
}
