//! `demo`: kills the broker and the relay under the eyes of three customers, and shows that nothing
//! is lost and nothing is counted twice.

mod shop;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use stack::{Process, Signal};
use tokio::time::sleep;

use crate::process_name::Name;
use crate::ready::{Health, health};
use crate::restart::{restart_rabbitmq, restart_service};
use crate::state::{self, State, own_rabbitmq};
use crate::terminal::{line, print_error, progress};
use crate::up::stop_signal;
use shop::Shop;

/// How many orders each customer places while the broker is down.
const ORDERS_EACH: u64 = 10;

/// How old the stack is when its broker is killed. RabbitMQ registers a new quorum queue in a table
/// that it writes to disk within 3 s (dets, with its default cache). Killed before, RabbitMQ 3.10
/// starts again with a queue that has lost its log and never elects a leader.
const QUEUES_STORED: Duration = Duration::from_secs(6);

/// How long all services may take to be ready after the broker is back.
const READY_AGAIN: Duration = Duration::from_secs(30);

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(10);

pub(crate) async fn demo() -> anyhow::Result<ExitCode> {
    let _lock = state::lock()?;
    let mut state = State::of_running_stack()?;
    check_all_run(&state)?;
    let told = tokio::select! {
        told = Box::pin(tell(&mut state)) => told,
        signal = stop_signal() => signal.and_then(|()| bail!("interrupted")),
    };
    if let Err(error) = told {
        print_error(&format!("{error:#}"));
        mend(&mut state).await?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn check_all_run(state: &State) -> anyhow::Result<()> {
    let services = state.services.iter().filter(|service| service.alive().is_none());
    let mut ended: Vec<&str> = services.map(|service| service.name.text()).collect();
    if state.own_rabbitmq && own_rabbitmq()?.process().is_none() {
        ended.push(Name::Rabbitmq.text());
    }
    let Some(first) = ended.first() else {
        return Ok(());
    };
    bail!("{} does not run; `cargo xtask restart {first}` starts it", ended.join(", "));
}

async fn tell(state: &mut State) -> anyhow::Result<()> {
    let at = state.addresses.clone().context("the stack is still starting")?;
    let shop = Shop::new(&at).await?;
    let customers = shop.customers().await?;
    let before = shop.counts(&customers).await?;
    let expect = |orders: u64| before.iter().map(|count| count + orders).collect::<Vec<_>>();

    for customer in &customers {
        shop.order(customer).await?;
    }
    let names: Vec<&str> = customers.iter().map(|customer| customer.name.as_str()).collect();
    progress(&format!("{} order a laptop each.", names.join(", ")));
    let took = shop.wait_for_counts(&customers, &expect(1)).await?;
    progress(&format!(
        "Their orders are events now; each is counted {} ms later.",
        took.as_millis()
    ));

    sleep(QUEUES_STORED.saturating_sub(state::age()?)).await;
    let killed = kill(state).await?;
    progress(&format!("{killed} killed with SIGKILL."));
    let began = Instant::now();
    let mut orders = Vec::new();
    for _ in 0..ORDERS_EACH {
        for customer in &customers {
            orders.push(shop.order(customer).await?);
        }
    }
    let (count, took) = (orders.len(), began.elapsed().as_millis());
    progress(&format!("{count} more orders: all accepted (201 Created), within {took} ms."));
    progress(&format!("{} events wait in the outbox.", shop.pending(&orders).await?));

    let began = Instant::now();
    mend(state).await?;
    let expected = expect(1 + ORDERS_EACH);
    shop.wait_for_counts(&customers, &expected).await?;
    let seconds = began.elapsed().as_secs_f64();
    progress(&format!("After {seconds:.1} s every event is published and every order counted."));

    let events = shop.publish_again(state, &orders).await?;
    progress(&format!("{events} events are published a second time, as a crash may do it."));
    let counts = shop.counts(&customers).await?;
    ensure!(counts == expected, "the counts are {counts:?} instead of {expected:?}");
    let counted: Vec<String> =
        names.iter().zip(&counts).map(|(name, count)| format!("{name} {count}")).collect();
    progress(&format!("orders_count: {}.", counted.join(", ")));
    wait_for_all(state).await?;
    progress("Nothing lost, nothing counted twice.");
    line(&format!("\nLook at it: {}/docs, {}/docs", at.order_service, at.customer_service));
    Ok(())
}

/// Waits until each service is ready: one with nothing to do may still wait before it tries the
/// broker again.
async fn wait_for_all(state: &State) -> anyhow::Result<()> {
    let http = stack::http_client()?;
    let end = Instant::now() + READY_AGAIN;
    for service in &state.services {
        while !matches!(health(&http, &service.command.ops).await, Health::Ready) {
            let name = service.name.text();
            ensure!(Instant::now() < end, "{name} is not ready; `cargo xtask status` says why");
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Kills the relay, and the broker if it is the stack's own. Returns what was killed.
async fn kill(state: &mut State) -> anyhow::Result<&'static str> {
    let relay = state.service_mut(Name::OutboxRelay)?.alive().cloned();
    let relay = Process::adopt(relay.context("outbox-relay has ended")?);
    relay.stop(Signal::SIGKILL, GONE).await?;
    if !state.own_rabbitmq {
        return Ok("The relay is");
    }
    own_rabbitmq()?.kill().await?;
    Ok("RabbitMQ and the relay are")
}

/// Starts what does not run.
async fn mend(state: &mut State) -> anyhow::Result<()> {
    if state.own_rabbitmq && own_rabbitmq()?.process().is_none() {
        progress("RabbitMQ starts again, which takes about ten seconds …");
        restart_rabbitmq(state).await?;
    }
    if state.service_mut(Name::OutboxRelay)?.alive().is_none() {
        progress("The relay starts again …");
        restart_service(state, Name::OutboxRelay).await?;
    }
    Ok(())
}
