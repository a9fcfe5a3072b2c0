//! A folder for files that a test gives to programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pipeline::PATIENCE;

/// An empty folder, removed when this is dropped.
#[derive(Debug)]
pub struct TempFolder(PathBuf);

impl TempFolder {
    /// Makes the folder.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    /// The path of a file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file, and returns its path.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        std::fs::write(self.0.join(name), text)?;
        Ok(self.path(name))
    }

    /// Removes it before this is dropped.
    ///
    /// # Errors
    /// When something is in the way, such as a process that still writes to it.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        std::fs::remove_dir_all(&self.0)
    }

    /// Waits until a program has written a file, and returns the text.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_for(&self, name: &str) -> anyhow::Result<String> {
        let there = async {
            while !Path::new(&self.path(name)).exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await?;
        Ok(std::fs::read_to_string(self.path(name))?)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // What is left is in the system's folder for temporary files.
        self.remove().ok();
    }
}
