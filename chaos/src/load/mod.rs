//! Clients of the pipeline, in an open loop: they come at their own rate, however slow the answers
//! are.

mod foreign;
mod operators;
mod orders;
mod prepared;
mod repairs;
mod strangers;
mod transactions;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::history::History;
use crate::topology::Topology;

/// The most clients of one kind at a time, of which most have a session with a database that serves
/// 400. Those that come while so many wait are turned away.
const MOST: usize = 90;
/// The maximum number of operators at a time: a command that waits for a relay asks the database
/// again and again.
const PEOPLE: usize = 5;

/// How often clients were hindered: an error, a refusal, or an answer that took over a second.
#[derive(Debug, Default)]
pub(crate) struct Troubles(AtomicUsize);

impl Troubles {
    /// So far.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all clients share.
#[derive(Debug)]
struct Shared {
    topology: Arc<Topology>,
    history: Arc<History>,
    troubles: Arc<Troubles>,
}

/// Sends load until `stop`, and then waits for the clients that are under way.
pub(crate) async fn send(
    topology: Arc<Topology>,
    history: Arc<History>,
    troubles: Arc<Troubles>,
    seed: u64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let shared = Arc::new(Shared { topology, history, troubles });
    transactions::prepare(&shared.topology).await?;
    let kinds: [(u64, usize, MakeClient); 6] = [
        (40, MOST, |shared, number| Box::pin(orders::order(shared, number))),
        (20, MOST, |shared, number| Box::pin(transactions::transaction(shared, number))),
        (4, MOST, |shared, number| Box::pin(foreign::message(shared, number))),
        (2, PEOPLE, |shared, number| Box::pin(operators::discard_or_replay(shared, number))),
        (2, MOST, |shared, number| Box::pin(strangers::event(shared, number))),
        (1, PEOPLE, |shared, number| Box::pin(repairs::retry_or_return(shared, number))),
    ];
    let mut sending = JoinSet::new();
    for (place, (rate, most, client)) in (0..).zip(kinds) {
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        // Numbers of clients seed what each of them does.
        let first = seed.wrapping_mul(8).wrapping_add(place) << 24;
        sending.spawn(come((rate, most), client, first, shared, stop));
    }
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    Ok(())
}

/// What a client does.
type Client = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Makes the client with this number.
type MakeClient = fn(Arc<Shared>, u64) -> Client;

/// Starts this many clients a second, as long as fewer than the maximum are at work.
async fn come(
    (rate, most): (u64, usize),
    client: MakeClient,
    first: u64,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_millis(1_000 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut clients = JoinSet::new();
    for number in first.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        while let Some(ended) = clients.try_join_next() {
            ended??;
        }
        if clients.len() < most {
            clients.spawn(client(Arc::clone(&shared), number));
        }
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

/// What the client with this number does is drawn from it.
fn rng(number: u64) -> StdRng {
    StdRng::seed_from_u64(number)
}

/// One of these.
fn one_of<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}
