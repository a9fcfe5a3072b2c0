//! Small disks, which a run can fill: file systems in memory, in a mount namespace of the run's own.
//! See mount_namespaces(7).

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Set in the namespace.
const ENTERED: &str = "CHAOS_MOUNTS";
const UNSHARE: [&str; 3] = ["--mount", "--propagation", "private"];
/// Several times what a round writes.
const SIZE: &str = "768m";

/// Starts this program again in a namespace of its own, where that is allowed. What it mounts there
/// is gone with its last process, however that ends.
///
/// # Errors
/// When the namespace can't be made although the system allowed one a moment ago.
pub(crate) fn enter() -> anyhow::Result<()> {
    let unshare = |program: &Path| {
        let mut unshare = Command::new("unshare");
        unshare.args(UNSHARE).arg(program).env(ENTERED, "1");
        unshare
    };
    let is_allowed = || unshare(Path::new("true")).output().is_ok_and(|end| end.status.success());
    if may_mount() || !is_allowed() {
        return Ok(());
    }
    let mut again = unshare(&std::env::current_exe()?);
    Err(again.args(std::env::args_os().skip(1)).exec()).context("cannot start unshare")
}

/// Whether this process is in such a namespace.
pub(crate) fn may_mount() -> bool {
    std::env::var_os(ENTERED).is_some()
}

/// A disk of a fixed size. Dropping it removes it and what it has.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    /// The symbolic link that stands where the folder was.
    folder: PathBuf,
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// Moves a folder onto one, and leaves a link, which can be removed like the folder.
    pub(crate) fn under(folder: &Path) -> anyhow::Result<Self> {
        let name = format!("chaos-disk-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let mounted_at = std::env::temp_dir().join(name);
        std::fs::create_dir(&mounted_at)?;
        let size = format!("size={SIZE}");
        let options = ["-t", "tmpfs", "-o", &size, "chaos"].map(Path::new);
        run("mount", &[&options[..], &[&mounted_at]].concat())?;
        let disk = Self { folder: folder.to_owned(), mounted_at };
        run("cp", &["-a".as_ref(), &folder.join("."), &disk.mounted_at])?;
        std::fs::remove_dir_all(folder)?;
        std::os::unix::fs::symlink(&disk.mounted_at, folder)?;
        Ok(disk)
    }

    /// Whether the disk is mounted below this folder.
    pub(crate) fn is_under(&self, folder: &Path) -> bool {
        self.folder == folder
    }

    /// Fills it.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.filler())?;
        let zeros = vec![0; 1 << 20];
        loop {
            match file.write(&zeros) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes back what [`fill`](Self::fill) has put there.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.mounted_at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Also while a server still has files open there.
        run("umount", &["--lazy".as_ref(), &self.mounted_at]).ok();
        std::fs::remove_dir(&self.mounted_at).ok();
    }
}

fn run(program: &str, arguments: &[&Path]) -> anyhow::Result<()> {
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{program}: {}", said.trim());
    Ok(())
}
