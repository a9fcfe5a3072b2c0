//! Real processes under a test's control, with a shell as the service.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use stack::{ProcessId, Service};

const SOON: Duration = Duration::from_secs(10);
const NO_SETTINGS: [(&str, &str); 0] = [];

async fn shell(script: &str) -> anyhow::Result<Service> {
    Service::spawn("/bin/sh", ["-c", script], NO_SETTINGS).await
}

#[tokio::test]
async fn a_line_of_the_log_is_waited_for() -> anyhow::Result<()> {
    let service = shell("sleep 0.2; echo listening on 127.0.0.1:7 >&2; sleep 100").await?;
    assert_eq!(service.wait_for_line("listening", SOON).await?, "listening on 127.0.0.1:7");
    Ok(())
}

#[tokio::test]
async fn a_line_that_never_comes_is_an_error_as_soon_as_the_process_ends() -> anyhow::Result<()> {
    let started = Instant::now();
    let service = shell("echo last words; exit 64").await?;
    let error = service.wait_for_line("listening", SOON).await.expect_err("it never says that");
    assert!(error.to_string().contains("last words"), "{error}");
    assert!(started.elapsed() < SOON);
    assert_eq!(service.wait_exit(SOON).await?.code(), Some(64));
    Ok(())
}

#[tokio::test]
async fn signals_do_what_their_names_say() -> anyhow::Result<()> {
    let polite = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done").await?;
    polite.wait_for_line("up", SOON).await?;
    polite.sigstop()?;
    polite.sigterm()?;
    assert!(polite.wait_exit(Duration::from_millis(300)).await.is_err(), "frozen, yet it ended");
    polite.sigcont()?;
    assert_eq!(polite.wait_exit(SOON).await?.code(), Some(7));

    let killed = shell("sleep 100").await?;
    killed.sigkill()?;
    assert_eq!(killed.wait_exit(SOON).await?.signal(), Some(9));
    assert!(!killed.is_running());
    Ok(())
}

#[tokio::test]
async fn only_given_variables_and_harmless_ones_reach_the_service() -> anyhow::Result<()> {
    let service =
        Service::spawn("/usr/bin/env", [""; 0], [("RABBITMQ_URL", "amqp://given")]).await?;
    service.wait_exit(SOON).await?;
    let log = service.log();
    assert!(log.contains("RABBITMQ_URL=amqp://given"));
    assert!(log.contains("PATH="));
    assert!(!log.contains("CARGO"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_service_is_killed() -> anyhow::Result<()> {
    let service = shell("sleep 100").await?;
    let process = ProcessId::of(service.pid()).expect("it was just started");
    drop(service);
    assert!(process.wait_gone(SOON).await);
    Ok(())
}
