//! The consumers in `examples/`: killed at random they apply each event once, and what they can't
//! apply is retried and becomes a dead letter.

#![expect(clippy::print_stdout, reason = "what was measured belongs to the test's output")]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use pipeline_tests::example_consumer::{
    BALANCES, ExampleConsumer, Program, SHIPMENTS, TURNOVER, Work,
};
use pipeline_tests::outbox::{PATIENCE, eventually};
use pipeline_tests::proxy::{Faults, Proxy};
use pipeline_tests::seed::seed;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use stack::Service;

type Tested = anyhow::Result<()>;

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// Fewer than the queue's delivery limit, so that the kills make no dead letters.
const ROUNDS: u32 = 12;

/// In the first rounds the consumer is killed while no acknowledgement reaches the broker.
const HELD_ROUNDS: u32 = 4;

/// Kills the consumer again and again while events come, some of them twice.
async fn killed_at_random(program: Program, work: &'static Work) -> Tested {
    let mut rng = StdRng::seed_from_u64(seed()?);
    let example = ExampleConsumer::new(program, work).await?;
    // Long transactions are killed in the middle, too.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
                CREATE TRIGGER slow BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION slow()";
    example.sql.batch_execute(slow).await?;
    let (proxy, url) = Proxy::before(&example.outbox.vhost.amqp_url)?;
    let settings = [("RABBITMQ_RETRY_TTL_MS", "1000"), ("RABBITMQ_MAX_RETRIES", "100000")];
    // It declares the queues.
    example.start(&url, &settings).await?.sigkill()?;
    example.outbox.sql.batch_execute(work.events).await?;
    let events = example.outbox.count("SELECT count(*) FROM outbox", &[]).await?;
    let _relay = example.outbox.relay_process(&[]).await?;
    example.outbox.all_published().await?;

    let mut unacknowledged = 0;
    for round in 0..ROUNDS {
        if round == HELD_ROUNDS {
            // Events that go to the retry queue again and again, until the end.
            example.outbox.sql.batch_execute(work.early_events).await?;
        }
        let service = example.start(&url, &settings).await?;
        let goal = example.applied().await? + rng.random_range(1..12);
        applied_at_least(&example, &service, goal.min(events)).await?;
        let before = example.applied().await?;
        if round < HELD_ROUNDS {
            // From here on no acknowledgement arrives.
            proxy.to_server(Faults::HELD);
            applied_at_least(&example, &service, (before + 3).min(events)).await?;
        } else if round % 3 == 0 {
            service.sigterm()?;
            let status = service.wait_exit(PATIENCE).await?;
            ensure!(status.success(), "{status}: {}", service.last_lines());
        } else if round % 3 == 1 {
            proxy.reset();
            service.wait_for_line("interrupted", PATIENCE).await?;
            applied_at_least(&example, &service, (before + 5).min(events)).await?;
        }
        // In a transaction, or before or after it.
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..10_000))).await;
        service.sigkill()?;
        service.wait_exit(PATIENCE).await?;
        if round < HELD_ROUNDS {
            unacknowledged += example.applied().await? - before;
        }
        proxy.reset();
        proxy.to_server(Faults::default());
        // In the end every third event has been published twice. The others have no copy that could
        // replace one that was lost.
        let again = "UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL AND id % 36 = 3 * $1::bigint";
        example.outbox.sql.execute(again, &[&i64::from(round)]).await?;
    }
    println!("{unacknowledged} of {events} events were applied and not acknowledged");
    ensure!(unacknowledged >= 3, "the consumer was never killed between effect and ack");

    example.sql.batch_execute(work.late_rows).await?;
    let service = example.start(&url, &settings).await?;
    example.all_applied().await?;
    assert_eq!(example.wrong_rows().await?, 0);
    // Copies may be in the consumer still. Once a last event is applied, all before it were handled.
    example.sql.batch_execute(work.enable).await?;
    let last = example.add_early_event().await?;
    eventually("the last event is applied", async || example.has_applied(last).await).await?;
    assert_eq!(example.wrong_rows().await?, 0, "after the last copies");
    service.sigterm()?;
    let status = service.wait_exit(PATIENCE).await?;
    ensure!(status.success(), "{status}: {}", service.last_lines());
    assert_eq!(example.outbox.depth(work.queue).await?, 0, "all messages were acknowledged");
    Ok(())
}

async fn applied_at_least(example: &ExampleConsumer, service: &Service, number: i64) -> Tested {
    let what = format!("{number} events were applied");
    let applied = eventually(&what, async || Ok(example.applied().await? >= number)).await;
    applied.with_context(|| service.last_lines())
}

#[tokio::test]
async fn a_python_consumer_that_is_killed_at_random_applies_each_event_once() -> Tested {
    killed_at_random(Program::python(TMP)?, &BALANCES).await
}

#[tokio::test]
async fn a_node_consumer_that_is_killed_at_random_applies_each_event_once() -> Tested {
    killed_at_random(Program::node(TMP)?, &TURNOVER).await
}

#[tokio::test]
async fn a_rust_service_that_is_killed_at_random_applies_each_event_once() -> Tested {
    killed_at_random(Program::rust(TMP)?, &SHIPMENTS).await
}
