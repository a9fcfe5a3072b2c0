//! A session has written an event and does not commit: its id is below all that pass, and it must not be lost.

use clap::Args;

use crate::pass::Open;
use crate::passing::Passing;

#[derive(Debug, Args)]
pub(crate) struct Writer {
    #[command(flatten)]
    passing: Passing,
}

impl Writer {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.passing.run("writer", Open::Writer).await
    }
}
