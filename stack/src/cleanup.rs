//! Notes to the keeper about databases and virtual hosts to remove. They are written in `Drop`,
//! which cannot call a server.

use std::path::{Path, PathBuf};

use crate::database::PostgresAccess;
use crate::vhost::RabbitAccess;

/// The folder of notes: one empty file for each thing to remove.
#[derive(Clone, Debug)]
pub(crate) struct Cleanup {
    dir: PathBuf,
}

impl Cleanup {
    pub(crate) fn in_folder(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn database(&self, name: &str) {
        self.note("database", name);
    }

    pub(crate) fn vhost(&self, name: &str) {
        self.note("vhost", name);
    }

    fn note(&self, kind: &str, name: &str) {
        // If this fails, it is removed together with the server.
        std::fs::write(self.dir.join(format!("{kind}.{name}")), "").ok();
    }

    /// Removes what the notes name. Failures are retried on the next run.
    pub(crate) async fn run(&self, postgres: &PostgresAccess, rabbitmq: &RabbitAccess) {
        for entry in self.dir.read_dir().into_iter().flatten().flatten() {
            let file_name = entry.file_name();
            let removed = match file_name.to_str().and_then(|name| name.split_once('.')) {
                Some(("database", name)) => postgres.drop(name).await,
                Some(("vhost", name)) => rabbitmq.delete(name).await,
                _ => Ok(()),
            };
            if removed.is_ok() {
                std::fs::remove_file(entry.path()).ok();
            }
        }
    }
}
