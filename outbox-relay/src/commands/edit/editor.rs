//! The editor, and the file that it is given.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::process::Command;
use uuid::Uuid;

use super::contents::LONGEST;
use super::signals::Signals;

/// Where neither VISUAL nor EDITOR says anything else.
const DEFAULT: &str = "vi";

/// Which editor a person uses.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct EditorArgs {
    /// The editor, with its options; by default $EDITOR, or else vi
    #[arg(long, env = "VISUAL", value_name = "COMMAND")]
    editor: Option<String>,
    /// The editor where VISUAL is not set.
    #[arg(long = "editor-without-visual", env = "EDITOR", hide = true)]
    fallback: Option<String>,
}

impl EditorArgs {
    fn command(&self) -> &str {
        let mut set = [&self.editor, &self.fallback].into_iter().flatten().map(|set| set.trim());
        set.find(|set| !set.is_empty()).unwrap_or(DEFAULT)
    }

    /// Runs the editor on `file` until the person leaves it. Fails with
    /// [`Terminated`](super::signals::Terminated) if a signal ends both.
    pub(in crate::commands) async fn run(
        &self,
        file: &EditedFile,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let command = self.command();
        // As git does: the command may have options.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{command} \"$@\"")).arg(command).arg(&file.path);
        let editor = shell.spawn();
        let mut editor =
            editor.with_context(|| format!("the editor {command} can't be started"))?;
        match signals.wait_for(&mut editor).await? {
            status if status.success() => Ok(()),
            status => bail!("the editor {command} failed ({status}): set VISUAL or EDITOR"),
        }
    }
}

/// A file that only this user can read, in a folder of its own, so that what the editor leaves
/// beside it is removed with it.
#[derive(Debug)]
pub(in crate::commands) struct EditedFile {
    folder: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

impl EditedFile {
    /// Creates a file of this `name` in a folder of its own.
    pub(in crate::commands) fn create(name: &str, text: &str) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("outbox-relay-{}", Uuid::new_v4()));
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("the folder {} can't be made", folder.display()))?;
        let path = folder.join(name);
        let file = Self { folder, path, is_kept: false };
        let mut open = OpenOptions::new();
        open.write(true).create_new(true).mode(0o600);
        let written =
            open.open(&file.path).and_then(|mut opened| opened.write_all(text.as_bytes()));
        written.with_context(|| format!("{} can't be written", file.path.display()))?;
        Ok(file)
    }

    /// Returns the text in the file, which may be another file by now.
    pub(in crate::commands) fn read(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        File::open(&self.path)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
            .with_context(|| format!("{} can't be read", self.path.display()))?;
        Ok(text)
    }

    /// Leaves the file where it is, and returns its path.
    pub(in crate::commands) fn keep(&mut self) -> &Path {
        self.is_kept = true;
        &self.path
    }
}

impl Drop for EditedFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // A folder that somebody else has removed is as good.
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_this_users_alone_and_removed() {
        let file = EditedFile::create("event.json", "{}").expect("a file");
        let (path, folder) = (file.path.clone(), file.folder.clone());
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!((mode(&path) & 0o777, mode(&folder) & 0o777), (0o600, 0o700));
        fs::write(folder.join("event.json~"), "{}").expect("an editor's backup");
        assert_eq!(file.read().expect("text"), "{}");
        drop(file);
        assert!(!folder.exists());
    }

    #[test]
    fn a_kept_file_stays() {
        let mut file = EditedFile::create("event.json", "{}").expect("a file");
        let path = file.keep().to_owned();
        let folder = file.folder.clone();
        drop(file);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "{}");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn visual_comes_before_editor_and_blank_ones_do_not_count() {
        let command = |editor: Option<&str>, fallback: Option<&str>| {
            let args = EditorArgs {
                editor: editor.map(ToOwned::to_owned),
                fallback: fallback.map(ToOwned::to_owned),
            };
            args.command().to_owned()
        };
        assert_eq!(command(Some("code --wait"), Some("ed")), "code --wait");
        assert_eq!(command(Some(" "), Some("ed")), "ed");
        assert_eq!(command(None, Some("")), "vi");
    }
}
