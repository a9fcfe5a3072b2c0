//! Notes about databases and virtual hosts that no test needs any more.

use std::path::{Path, PathBuf};

/// The folder of notes: one empty file for each thing to remove, named `KIND.NAME`.
///
/// `Drop` writes them, as it cannot call a server; the keeper acts on them.
#[derive(Clone, Debug)]
pub(crate) struct CleanupNotes {
    dir: PathBuf,
}

/// A note, which [`CleanupNote::delete`] removes once it is done.
#[derive(Debug)]
pub(crate) struct CleanupNote {
    path: PathBuf,
    pub(crate) target: CleanupTarget,
}

/// What to remove, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CleanupTarget {
    Database(String),
    Vhost(String),
}

impl CleanupNotes {
    pub(crate) fn in_folder(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Writes a note. If this fails, the target is removed together with its server.
    pub(crate) fn add(&self, target: &CleanupTarget) {
        std::fs::write(self.dir.join(target.file_name()), "").ok();
    }

    /// The notes that are there now.
    pub(crate) fn read(&self) -> Vec<CleanupNote> {
        let entries = self.dir.read_dir().into_iter().flatten().flatten();
        let note = |entry: std::fs::DirEntry| {
            let target = CleanupTarget::parse(entry.file_name().to_str()?)?;
            Some(CleanupNote { path: entry.path(), target })
        };
        entries.filter_map(note).collect()
    }
}

impl CleanupNote {
    /// Deletes the note. If this fails, its target is removed a second time, which does nothing.
    pub(crate) fn delete(&self) {
        std::fs::remove_file(&self.path).ok();
    }
}

impl CleanupTarget {
    fn file_name(&self) -> String {
        match self {
            Self::Database(name) => format!("database.{name}"),
            Self::Vhost(name) => format!("vhost.{name}"),
        }
    }

    fn parse(file_name: &str) -> Option<Self> {
        match file_name.split_once('.')? {
            ("database", name) => Some(Self::Database(name.to_owned())),
            ("vhost", name) => Some(Self::Vhost(name.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CleanupNotes, CleanupTarget};
    use crate::secret::unique_name;

    #[test]
    fn a_note_is_read_until_it_is_deleted() {
        let dir = std::env::temp_dir().join(unique_name("notes"));
        std::fs::create_dir(&dir).unwrap();
        let notes = CleanupNotes::in_folder(&dir);
        assert!(notes.read().is_empty());

        let targets =
            [CleanupTarget::Database("orders_1".into()), CleanupTarget::Vhost("relay_2".into())];
        for target in &targets {
            notes.add(target);
            notes.add(target);
        }
        let read = notes.read();
        assert_eq!(read.len(), 2, "{read:?}");
        assert!(targets.iter().all(|target| read.iter().any(|note| note.target == *target)));

        for note in read.iter().filter(|note| note.target == targets[0]) {
            note.delete();
        }
        let left: Vec<_> = notes.read().into_iter().map(|note| note.target).collect();
        assert_eq!(left, targets[1..]);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
