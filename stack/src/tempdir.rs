//! The temporary folder of a process, and the processes that it started. A reaper process holds the
//! other end of a pipe; when that closes, however the owner ended, it kills what still runs and
//! removes the folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::cargo::keeper_binary;
use crate::checkout::{data_home, open_folder};
use crate::process::ProcessId;

/// This process's folder.
#[derive(Debug)]
pub(crate) struct TempDir {
    dir: PathBuf,
    folders: AtomicUsize,
    _reaper: ChildStdin,
}

/// A process that must not outlive the folder's owner, and the way to end it.
#[derive(Serialize, Deserialize)]
struct Registered {
    process: ProcessId,
    /// Whether to end it with SIGQUIT instead of SIGKILL, after which PostgreSQL frees its shared
    /// memory.
    quits: bool,
}

impl TempDir {
    /// Created on first use, which also removes folders whose owner and reaper were both killed.
    pub(crate) async fn of_this_process() -> anyhow::Result<&'static Self> {
        static TEMP_DIR: OnceCell<Result<TempDir, String>> = OnceCell::const_new();
        let tempdir = TEMP_DIR.get_or_init(async || {
            let made = tokio::task::spawn_blocking(Self::make).await;
            made.map_err(anyhow::Error::from).flatten().map_err(|error| format!("{error:#}"))
        });
        tempdir.await.as_ref().map_err(|error| anyhow!(error.clone()))
    }

    fn make() -> anyhow::Result<Self> {
        let own = ProcessId::own();
        let name = format!("{}-{:08x}", own.pid, rand::random::<u32>());
        let mut attempts = 0;
        let dir = loop {
            match Self::open(&name) {
                // The reaper of a process that just ended removes the folders around, which are
                // empty then.
                Err(error) if is_not_found(&error) && attempts < 100 => attempts += 1,
                opened => break opened?,
            }
        };
        std::fs::write(dir.join("owner.json"), serde_json::to_string(&own)?)?;
        let mut reaper = Command::new(keeper_binary()?)
            .arg("reap")
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the reaper")?;
        let pipe = reaper.stdin.take().context("the reaper was started with a pipe")?;
        Ok(Self { dir, folders: AtomicUsize::new(1), _reaper: pipe })
    }

    fn open(name: &str) -> anyhow::Result<PathBuf> {
        let all = data_home()?.join("test");
        open_folder(&all)?;
        remove_abandoned(&all);
        let dir = all.join(name);
        open_folder(&dir)?;
        Ok(dir)
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(format!("{number}-{name}"));
        open_folder(&dir)?;
        Ok(dir)
    }

    /// Registers a process that must not outlive this one.
    pub(crate) fn register(&self, process: &ProcessId, quits: bool) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(&Registered { process: process.clone(), quits })?;
        line.push('\n');
        let mut list =
            OpenOptions::new().create(true).append(true).open(self.dir.join("started"))?;
        list.write_all(line.as_bytes())?;
        Ok(())
    }
}

/// Kills the processes and removes the folder. Blocks for a fraction of a second; the data do not
/// need a clean shutdown.
pub(crate) fn end_and_remove(dir: &Path, processes: &[(ProcessId, bool)]) {
    for (process, quits) in processes {
        // A process that can't be signalled has ended.
        process.signal(if *quits { Signal::SIGQUIT } else { Signal::SIGKILL }).ok();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    for (process, _) in processes {
        while process.is_alive() {
            if Instant::now() > deadline {
                process.signal(Signal::SIGKILL).ok();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // The children of a killed server may still be writing.
    for _ in 0..50 {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(50));
            }
            _ => break,
        }
    }
}

/// The reaper's main function: waits until the owner ends, then removes everything of it.
pub(crate) fn reap(dir: &Path) -> anyhow::Result<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    remove_with_processes(dir);
    if let Some(all) = dir.parent() {
        remove_if_empty(all);
        if let Some(home) = all.parent() {
            remove_if_empty(home);
        }
    }
    Ok(())
}

fn remove_with_processes(dir: &Path) {
    let list = std::fs::read_to_string(dir.join("started")).unwrap_or_default();
    let registered = list.lines().filter_map(|line| serde_json::from_str::<Registered>(line).ok());
    let processes: Vec<_> = registered.map(|entry| (entry.process, entry.quits)).collect();
    end_and_remove(dir, &processes);
}

fn remove_abandoned(all: &Path) {
    for entry in all.read_dir().into_iter().flatten().flatten() {
        let owner = std::fs::read(entry.path().join("owner.json")).ok();
        let owner = owner.and_then(|json| serde_json::from_slice::<ProcessId>(&json).ok());
        if owner.is_some_and(|owner| !owner.is_alive()) {
            remove_with_processes(&entry.path());
        }
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
}

fn remove_if_empty(dir: &Path) {
    // Fails if it is not empty, which is intended.
    std::fs::remove_dir(dir).ok();
}
