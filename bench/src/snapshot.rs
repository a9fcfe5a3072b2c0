//! A session holds a snapshot, so that nothing that dies can be cleaned up.

use clap::Args;

use crate::pass::Open;
use crate::passing::Passing;

#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    #[command(flatten)]
    passing: Passing,
}

impl Snapshot {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        self.passing.run("snapshot", Open::Snapshot).await
    }
}
