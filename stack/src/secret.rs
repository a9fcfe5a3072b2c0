//! Random names and passwords, and files that only their owner can read.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// 128 random bits in hexadecimal.
#[must_use]
pub fn password() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A unique name: the usable characters of the hint and eight random digits.
pub(crate) fn unique_name(hint: &str) -> String {
    let hint: String = hint
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(40)
        .collect();
    format!("{hint}_{:08x}", rand::random::<u32>())
}

/// Writes a file of mode 0600 atomically: readers see the old content or the new.
///
/// # Errors
/// When the folder can't be written.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let next = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(content.as_bytes())?;
        std::fs::rename(&next, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
