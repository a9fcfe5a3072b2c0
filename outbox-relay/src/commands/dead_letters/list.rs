//! `dead-letters list`: lists dead letters.

use clap::{Args, ValueEnum};

use super::args::{DeskArgs, LetterFilter, LetterFilterArgs};
use super::letter::{self, Letter};
use super::tables::Session;
use super::{pages, queries};
use crate::commands::args::PageArgs;
use crate::commands::outcome::Outcome;
use crate::commands::output;
use crate::commands::paging::Page;
use crate::commands::session::Access;

/// Arguments of `dead-letters list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  outbox-relay dead-letters list --queue customer.orders_count.dlq --limit 100\n  outbox-relay dead-letters list --state any --message-id 0190163d-8694-739b-aea5-966c26f8ad91"
)]
pub struct ListArgs {
    /// Only those in this state: open, returning (being published, or left so by an interrupted
    /// command), returned, discarded, or any
    #[arg(long, value_enum, default_value = "open", hide_possible_values = true)]
    state: State,
    #[command(flatten)]
    filter: LetterFilterArgs,
    /// The same as --error
    #[arg(long, value_name = "TEXT", conflicts_with = "error")]
    reason: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

/// The value of `--state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Open,
    Returning,
    Returned,
    Discarded,
    Any,
}

impl ListArgs {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let session = self.desk.open("list", Access::Read).await?;
        let mut filter = self.filter.filter(&session).await?;
        filter.error = filter.error.or(self.reason);
        let page = find(&session, self.state, &filter, &self.page).await?;
        let letters: Vec<Letter> = queries::list(&session, &page.rows).await?;
        if self.json {
            output::json_lines(&letters)?;
        } else if !letters.is_empty() {
            output::text(&letter::table(&letters))?;
        } else if page.next.is_none() {
            output::note("No dead letters match.");
        }
        page.note_more(self.page.size(), "dead letters");
        if self.state == State::Open && !self.json {
            note_returning(&session, filter.queue.as_deref()).await?;
        }
        Ok(Outcome::Ok)
    }
}

/// Prints a note if dead letters are `returning`: an interrupted command may have left them.
pub(super) async fn note_returning(session: &Session, queue: Option<&str>) -> anyhow::Result<()> {
    let count = queries::count_returning(session, queue).await?;
    if count > 0 {
        let is = if count == 1 { "is" } else { "are" };
        output::note(&format!(
            "{count} {is} being returned, or {} when a command ended too early (list --state returning).",
            if count == 1 { "was" } else { "were" }
        ));
    }
    Ok(())
}

/// Finds the ids to list, with the statement whose index matches the filter and the order.
async fn find(
    session: &Session,
    state: State,
    filter: &LetterFilter,
    page: &PageArgs,
) -> anyhow::Result<Page<i64>> {
    let (after, size) = (page.after.as_ref(), page.size());
    match state {
        State::Open if filter.names_cause() => {
            pages::find_by_cause(session, filter, after, size).await
        }
        State::Open => pages::find_unsettled(session, filter, "open", after, size).await,
        State::Returning => pages::find_unsettled(session, filter, "returning", after, size).await,
        State::Returned => pages::find_settled(session, filter, "returned", after, size).await,
        State::Discarded => pages::find_settled(session, filter, "discarded", after, size).await,
        State::Any => pages::find_any(session, filter, after, size).await,
    }
}
