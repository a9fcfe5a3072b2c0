//! What happened, as the checker reads it: a line of JSON for each event, in a file for each kind.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context as _;
use serde_json::Value;

/// The files that a round writes, which exist even if they stay empty.
const FILES: [&str; 9] = [
    "creates",
    "changes",
    "transactions",
    "foreign",
    "messages",
    "commands",
    "calms",
    "faults",
    "samples",
];

/// The files of a round.
#[derive(Debug)]
pub(crate) struct History {
    files: BTreeMap<&'static str, Mutex<File>>,
}

impl History {
    /// An empty one; what the folder had is removed.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        if folder.join("plan.json").exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let place = || format!("cannot write to {}", folder.display());
        for inner in ["tables", "clocks"] {
            std::fs::create_dir_all(folder.join(inner)).with_context(place)?;
        }
        let mut files = BTreeMap::new();
        for name in FILES {
            let path = folder.join(format!("{name}.jsonl"));
            let file = OpenOptions::new().create(true).truncate(true).write(true).open(path);
            files.insert(name, Mutex::new(file.with_context(place)?));
        }
        Ok(Self { files })
    }

    /// Adds a line to one of [`FILES`].
    ///
    /// # Panics
    /// When the disk is full: a run without its history is worth nothing.
    #[allow(clippy::panic, reason = "see above")]
    pub(crate) fn record(&self, file: &str, event: &Value) {
        let known = self.files.get(file).map(|file| file.lock());
        let mut file = match known {
            Some(locked) => locked.unwrap_or_else(PoisonError::into_inner),
            None => panic!("no file {file}"),
        };
        if let Err(error) = file.write_all(format!("{event}\n").as_bytes()) {
            panic!("the history can't be written: {error}");
        }
    }
}

/// Now, in microseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
