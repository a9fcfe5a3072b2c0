//! Reads events and dead letters with their contents: what PostgreSQL reads of a large payload takes
//! several times its size, in a session each. So only a part of it is read, by few at a time.

use tokio::time::timeout;

use super::command_line::CommandLine;
use super::invocation::{Commands, InvocationError, MANY_PAGES, Output, TURN, insert_option};
use super::users::User;

/// How much of contents is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Longest {
    /// Nothing: whether there is such an event, and what it is.
    Nothing,
    /// What a page shows.
    Shown,
    /// What is edited in a page.
    Edited,
}

impl Longest {
    /// In characters of the contents and in bytes on disk.
    const fn length(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Shown => 256 * 1024,
            Self::Edited => 512 * 1024,
        }
    }
}

impl Commands {
    /// Runs `show` or `dead-letters show`. The contents are cut off, or left out.
    ///
    /// # Errors
    /// When it fails.
    pub(super) async fn show(
        &self,
        line: &CommandLine,
        longest: Longest,
        user: &User,
    ) -> Result<Output, InvocationError> {
        let turn = timeout(TURN, self.contents.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(InvocationError::Busy(MANY_PAGES)) };
        let mut arguments = line.arguments();
        insert_option(&mut arguments, format!("--cut-at={}", longest.length()));
        self.read(&arguments, user).await
    }
}
