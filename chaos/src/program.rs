//! A program of the pipeline as a process that can be ended and started again, with the same
//! addresses.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use stack::Service;
use tokio::sync::Mutex;

/// How long a program may take to end after SIGTERM.
const ENDED: Duration = Duration::from_secs(60);

/// What a consumer logs about a message that it can't process.
const POISON: &str = "sent a message to the dead-letter queue";

/// A program of the pipeline.
#[derive(Debug)]
pub(crate) struct Program {
    /// What the plan calls it.
    pub(crate) name: String,
    /// The file name of its program.
    pub(crate) binary: &'static str,
    pub(crate) arguments: Vec<&'static str>,
    settings: Vec<(&'static str, String)>,
    ops_port: u16,
    /// The file with the distance of its clock from the right time.
    clock: PathBuf,
    /// None while a fault keeps it down.
    process: Mutex<Option<Service>>,
    /// How many bytes of the process's log were searched for warnings, and how many there were.
    searched: Mutex<(usize, usize)>,
}

impl Program {
    /// One that is not started yet. Its operations port is added to the settings, and a clock of its
    /// own.
    pub(crate) fn new(
        name: String,
        binary: &'static str,
        arguments: Vec<&'static str>,
        mut settings: Vec<(&'static str, String)>,
        clocks: &Path,
    ) -> anyhow::Result<Self> {
        let ops_port = stack::free_port()?;
        settings.push(("OPS_ADDR", format!("127.0.0.1:{ops_port}")));
        let clock = clocks.join(&name);
        // Timers do not follow the time of day, and its change is noticed within a second.
        settings.extend([
            ("LD_PRELOAD", stack::faketime()?.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]);
        let (process, searched) = (Mutex::new(None), Mutex::default());
        let program =
            Self { name, binary, arguments, settings, ops_port, clock, process, searched };
        program.set_clock(0)?;
        Ok(program)
    }

    /// Sets its clock to so many seconds after the right time.
    pub(crate) fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        let file = &self.clock;
        std::fs::write(file, format!("{seconds:+}\n")).with_context(|| file.display().to_string())
    }

    /// Starts it, unless it runs.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        self.start_from(stack::binary(self.binary).await?).await
    }

    /// Starts another build of it, unless it runs.
    pub(crate) async fn start_from(&self, file: PathBuf) -> anyhow::Result<()> {
        let mut process = self.process.lock().await;
        if process.as_ref().is_some_and(Service::is_running) {
            return Ok(());
        }
        let settings = self.settings.iter().map(|(name, value)| (*name, value.as_str()));
        *process = Some(Service::spawn(file, &self.arguments, settings).await?);
        *self.searched.lock().await = (0, 0);
        Ok(())
    }

    /// Starts it again if it has ended by itself, as an orchestrator would. Returns its last lines
    /// then.
    pub(crate) async fn start_if_ended(&self) -> anyhow::Result<Option<String>> {
        let ended = {
            let process = self.process.lock().await;
            process.as_ref().filter(|process| !process.is_running()).map(Service::last_lines)
        };
        if ended.is_some() {
            self.start().await?;
        }
        Ok(ended)
    }

    /// Ends it with SIGKILL, and keeps it down.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        let process = self.process.lock().await.take();
        let process = process.with_context(|| format!("{} is down already", self.name))?;
        process.sigkill()?;
        process.wait_exit(ENDED).await?;
        Ok(())
    }

    /// Ends it with SIGTERM, and keeps it down.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let process = self.process.lock().await.take();
        let process = process.with_context(|| format!("{} is down already", self.name))?;
        process.sigterm()?;
        process.wait_exit(ENDED).await?;
        Ok(())
    }

    /// Suspends it.
    pub(crate) async fn suspend(&self) -> anyhow::Result<()> {
        self.process.lock().await.as_ref().map_or(Ok(()), Service::sigstop)
    }

    /// Resumes it.
    pub(crate) async fn resume(&self) -> anyhow::Result<()> {
        self.process.lock().await.as_ref().map_or(Ok(()), Service::sigcont)
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self, http: &reqwest::Client) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.ops_port);
        http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// How many warnings and errors it has logged since it was started, but for those about poison,
    /// of which the load has some every second.
    pub(crate) async fn warnings(&self) -> usize {
        let log = self.process.lock().await.as_ref().map(Service::log).unwrap_or_default();
        let mut searched = self.searched.lock().await;
        let (length, warnings) = &mut *searched;
        let new = log.get(*length..).unwrap_or_default();
        let new = &new[..new.rfind('\n').map_or(0, |end| end + 1)];
        let lines = new.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
        *warnings += lines.filter(|line| !line.contains(POISON)).count();
        *length += new.len();
        *warnings
    }

    /// The end of its log.
    pub(crate) async fn last_lines(&self) -> String {
        self.process.lock().await.as_ref().map(Service::last_lines).unwrap_or_default()
    }

    /// The sum of its metrics with this name.
    pub(crate) async fn metric(&self, http: &reqwest::Client, name: &str) -> Option<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.ops_port);
        let text = http.get(url).send().await.ok()?.text().await.ok()?;
        let of_it = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        Some(of_it.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}
