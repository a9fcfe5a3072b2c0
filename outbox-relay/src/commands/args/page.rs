//! Which page of a list is printed.

use clap::Args;

use crate::commands::paging::{Cursor, PageSize};

/// Arguments that select a page of a list.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct PageArgs {
    /// The maximum number of rows on a page
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    limit: u32,
    /// The page behind this place, as the page before names it: the last row's ID, or TIME/ID
    #[arg(long, value_name = "CURSOR", allow_hyphen_values = true)]
    pub(in crate::commands) after: Option<Cursor>,
    /// How many rows to read in search of a page that is full
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    scan_limit: u32,
}

impl PageArgs {
    /// How much a page has, and how much may be read for it.
    pub(in crate::commands) const fn size(&self) -> PageSize {
        PageSize::new(self.limit, self.scan_limit)
    }
}
