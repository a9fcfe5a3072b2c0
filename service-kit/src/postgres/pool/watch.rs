//! Monitors the database for `/readyz` and the metrics.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Pool;
use super::database::Database;
use super::error::DatabaseError;
use crate::health::Dependency;

const IN_USE: &str = "database_pool_connections_in_use";
const WAITING: &str = "database_pool_waiting";

/// How long the database may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Pings the database every second until `shutdown`, and reports the result as `dependency`. Uses
/// the connection of `probe`, a pool that requests don't use, and reports the load of `pool`.
pub async fn watch(pool: Pool, probe: Pool, dependency: Dependency, shutdown: CancellationToken) {
    metrics::describe_gauge!(IN_USE, "Connections of the pool that are in use");
    metrics::describe_gauge!(WAITING, "Requests that wait for a connection of the pool");
    let probe = Database::new(probe, PING_TIMEOUT);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ping = async || {
        ticks.tick().await;
        probe.read("ping", async |connection| connection.ping().await).await
    };
    while let Some(answer) = shutdown.run_until_cancelled(ping()).await {
        report(&dependency, answer);
        let (in_use, waiting) = pool.load();
        metrics::gauge!(IN_USE).set(u32::try_from(in_use).unwrap_or(u32::MAX));
        metrics::gauge!(WAITING).set(u32::try_from(waiting).unwrap_or(u32::MAX));
    }
}

fn report(dependency: &Dependency, answer: Result<(), DatabaseError>) {
    match answer {
        Ok(()) => dependency.up(),
        // An earlier ping is still unanswered.
        Err(DatabaseError::Busy) => (),
        Err(
            DatabaseError::Unavailable(reason)
            | DatabaseError::Refused(reason)
            | DatabaseError::Unstorable(reason),
        ) => dependency.down(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need};

    #[test]
    fn an_unsent_ping_says_nothing_about_the_database() {
        let health = Health::default();
        let dependency = health.dependency("postgresql", Need::Required);
        let gone = || Err(DatabaseError::Unavailable("gone".to_owned()));
        for (answer, ready) in [
            (Err(DatabaseError::Busy), false),
            (Ok(()), true),
            (Err(DatabaseError::Busy), true),
            (gone(), false),
            (Err(DatabaseError::Busy), false),
            (Ok(()), true),
        ] {
            report(&dependency, answer);
            assert_eq!(health.is_ready(), ready);
        }
    }
}
