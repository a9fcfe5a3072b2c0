//! The programs, and an API that one of them serves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use stack::Service;

/// The timeout for a process to start or stop.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The paths of the release programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) order_service: PathBuf,
    pub(crate) outbox_relay: PathBuf,
    pub(crate) customer_service: PathBuf,
}

impl Programs {
    /// The programs in a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let [order_service, outbox_relay, customer_service] =
            stack::SERVICES.map(|name| folder.join(name));
        Self { order_service, outbox_relay, customer_service }
    }

    /// Builds the checkout's.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let mut built = stack::build(&stack::SERVICES, &["--release".to_owned()])?;
        let mut program =
            |name: &str| built.remove(name).with_context(|| format!("cargo built no {name}"));
        Ok(Self {
            order_service: program("order-service")?,
            outbox_relay: program("outbox-relay")?,
            customer_service: program("customer-service")?,
        })
    }
}

/// A process that serves HTTP. Killed on drop.
#[derive(Debug)]
pub(crate) struct Api {
    service: Service,
    pub(crate) address: SocketAddr,
}

impl Api {
    /// Starts a program and reads the address that it logs.
    pub(crate) async fn start(
        program: &Path,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let service = Service::spawn(program, arguments, settings.iter().copied()).await?;
        let address = address(&service, "HTTP port is open").await?;
        Ok(Self { service, address })
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        ready(&self.service).await
    }

    /// Asks the operations port of the process for its metrics.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let address = address(&self.service, "operations port is open").await?;
        let url = format!("http://{address}/metrics");
        Ok(stack::http_client()?.get(url).send().await?.error_for_status()?.text().await?)
    }

    pub(crate) const fn process(&self) -> &Service {
        &self.service
    }

    pub(crate) fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        stop(&self.service).await
    }
}

/// Waits until a service is ready.
pub(super) async fn ready(service: &Service) -> anyhow::Result<()> {
    let url = format!("http://{}/readyz", address(service, "operations port is open").await?);
    let (http, end) = (stack::http_client()?, Instant::now() + TIMEOUT);
    while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
        ensure!(Instant::now() < end, "never ready: {}", service.last_lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Stops a service and waits until it has ended.
pub(super) async fn stop(service: &Service) -> anyhow::Result<()> {
    service.sigterm()?;
    let status = service.wait_exit(TIMEOUT).await?;
    ensure!(status.success(), "a service ended with {status}; {}", service.last_lines());
    Ok(())
}

async fn address(service: &Service, event: &str) -> anyhow::Result<SocketAddr> {
    let line = service.wait_for_line(event, TIMEOUT).await?;
    let (_, rest) =
        line.split_once("address=").with_context(|| format!("no address in {line:?}"))?;
    Ok(rest.split_whitespace().next().unwrap_or_default().parse()?)
}
