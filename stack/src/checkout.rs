//! Locations: the checkout, the stack's folder, and the folder for PostgreSQL's data.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use nix::unistd::User;

static ROOT: OnceLock<PathBuf> = OnceLock::new();

/// The checkout in which cargo started this program, or else the one it was built from.
#[must_use]
pub fn root() -> &'static Path {
    ROOT.get_or_init(|| {
        // Set by `cargo run`, `cargo test` and nextest. With a target folder that several
        // checkouts share, the program may have been built in another one.
        let of_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let of_cargo = of_cargo.and_then(|package| Some(package.parent()?.to_owned()));
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
        of_cargo
            .filter(|root| root.join("stack/src/checkout.rs").is_file())
            .unwrap_or_else(|| built_from.parent().unwrap_or(built_from).to_owned())
    })
}

/// Sets the checkout, for a program that was started by another one.
pub(crate) fn set_root(root: &Path) {
    ROOT.get_or_init(|| root.to_owned());
}

/// The folder for everything that runs locally, created if missing: the checkout's `.stack`, or the
/// value of `STACK_DIR`; a relative path is relative to the checkout.
///
/// # Errors
/// When it can't be made.
pub fn stack_dir() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("STACK_DIR").filter(|dir| !dir.is_empty());
    let dir = root().join(named.unwrap_or_else(|| ".stack".into()));
    open_folder(&dir)?;
    Ok(dir)
}

/// The user to run PostgreSQL as, or `None` for the current user. PostgreSQL refuses to run as
/// root.
pub(crate) fn postgres_user() -> anyhow::Result<Option<User>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    anyhow::bail!("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
}

/// Changes the owner of a file or folder to the user that PostgreSQL runs as.
pub(crate) fn give_to_postgres(path: &Path) -> anyhow::Result<()> {
    if let Some(user) = postgres_user()? {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}

/// A folder that PostgreSQL's user can enter: `.stack`, or one in /var/tmp if root's checkout is
/// not accessible to that user.
pub(crate) fn data_home() -> anyhow::Result<PathBuf> {
    let stack = stack_dir()?;
    match postgres_user()? {
        Some(user) if !may_enter(&user, &stack) => {
            let home = format!("/var/tmp/outbox-stack-{:016x}", fnv(stack.as_os_str().as_bytes()));
            let home = PathBuf::from(home);
            open_folder(&home)?;
            Ok(home)
        }
        _ => Ok(stack),
    }
}

/// The folder of the local stack's PostgreSQL: `.stack/postgres`, a symbolic link if the data must
/// be elsewhere.
///
/// # Errors
/// When it can't be made.
pub fn postgres_dir() -> anyhow::Result<PathBuf> {
    let name = stack_dir()?.join("postgres");
    let dir = data_home()?.join("postgres");
    if dir != name && name.read_link().ok().as_ref() != Some(&dir) {
        std::fs::remove_file(&name).ok();
        std::os::unix::fs::symlink(&dir, &name)
            .with_context(|| format!("cannot make the link {}; remove it", name.display()))?;
    }
    open_folder(&dir)?;
    Ok(dir)
}

/// Removes the local stack's PostgreSQL data.
///
/// # Errors
/// When something in there can't be removed.
pub fn remove_postgres_dir() -> anyhow::Result<()> {
    let dir = postgres_dir()?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    // The link, and the folder around the data if it is empty.
    std::fs::remove_file(stack_dir()?.join("postgres")).ok();
    std::fs::remove_dir(data_home()?).ok();
    Ok(())
}

/// Creates a folder that other users may traverse but not list. Refuses a folder owned by another
/// user.
pub(crate) fn open_folder(dir: &Path) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o711).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make the folder {}", dir.display()));
        }
        _ => {}
    }
    let found = dir.symlink_metadata()?;
    ensure!(
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw(),
        "{} is not a folder of ours; remove it",
        dir.display()
    );
    if found.permissions().mode() & 0o011 != 0o011 {
        std::fs::set_permissions(dir, Permissions::from_mode(found.mode() | 0o711))?;
    }
    Ok(())
}

/// FNV-1a: the same in every version of Rust, so that an upgrade still finds the data.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn may_enter(user: &User, dir: &Path) -> bool {
    dir.ancestors().all(|dir| {
        let Ok(found) = dir.metadata() else {
            return dir.as_os_str().is_empty();
        };
        let mode = found.mode();
        if found.uid() == user.uid.as_raw() {
            mode & 0o100 != 0
        } else if found.gid() == user.gid.as_raw() {
            mode & 0o010 != 0
        } else {
            mode & 0o001 != 0
        }
    })
}
