//! `dead-letters`: the desk for what consumers could not process.
//!
//! | module | what it holds |
//! |---|---|
//! | `schema`, `collect` | setting the desk up, and filling it |
//! | `list`, `groups`, `show`, `audit` | inspecting it; `letter` is a dead letter as they print it |
//! | `edit`, `return_letters`, `note`, `discard`, `forget` | changing it; all write to the audit table |
//! | `selection`, `skipped` | the dead letters that a command changes; which it did not change, and why |
//! | `args` | arguments that several commands share |
//! | `tables`, `queries`, `pages` | the session with its tables, and one function per SQL statement |

mod args;
mod audit;
mod collect;
mod discard;
mod edit;
mod forget;
mod groups;
mod letter;
mod list;
mod note;
mod pages;
mod queries;
mod return_letters;
mod schema;
mod selection;
mod show;
mod shown_body;
mod skipped;
mod tables;

use std::process::ExitCode;

use clap::Subcommand;

use super::outcome::Outcome;

/// A command about dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Print the SQL that adds the tables of the desk to a database
    ///
    /// The SQL creates the tables, their indexes and views. The command connects to no database.
    Schema(schema::SchemaArgs),
    /// Move the messages of a dead-letter queue into the table
    ///
    /// Each message becomes a row before it is acknowledged. The command ends when the messages
    /// that were in the queue at its start are collected; with --follow it runs until SIGTERM or
    /// SIGINT. A message that the database refuses stays in the queue and is named; the exit status
    /// is then 1. One collector at a time collects a queue; with --follow a second one waits for
    /// its turn.
    Collect(Box<collect::CollectArgs>),
    /// List dead letters
    ///
    /// Lists the open ones, oldest first. With --state returned or discarded, those that were
    /// settled last come first; with --state any, the newest. A page is followed by the next one with
    /// --after. For filters without an index a bounded number of rows is read; the command says so if
    /// the search ended for that.
    List(Box<list::ListArgs>),
    /// Show open dead letters by cause: how many, since when, an example
    ///
    /// Reasons that differ only in ids, numbers and quoted values are one cause. Its fingerprint
    /// selects them in the other commands. Large groups are counted up to a limit, marked with a
    /// plus sign: `return --fingerprint CAUSE --dry-run` counts them all.
    Groups(Box<groups::GroupsArgs>),
    /// Show one dead letter with its headers, its body, its earlier deaths and what people did to it
    Show(Box<show::ShowArgs>),
    /// List what people did to dead letters, the latest first
    ///
    /// Prints who did what, when, as which database role and why. All rows of one command have the
    /// same operation. Contents are left out: `show ID` prints them. Rows of one dead letter or of
    /// one operation are found by an index; with other filters a bounded number of rows is read.
    Audit(Box<audit::AuditArgs>),
    /// Change the body or headers of an open dead letter
    ///
    /// On a terminal the contents are opened in $VISUAL or $EDITOR: the headers as JSON, then a
    /// separator line, then the body. The dead letter is not locked meanwhile; if somebody else has
    /// changed it, the edit is not stored. A signal that ends the command removes the edited text.
    /// Headers that are not edited keep their types. The row keeps what was collected, the audit
    /// table both versions.
    Edit(Box<edit::EditArgs>),
    /// Return dead letters to the queues that they came from
    ///
    /// The body stays as it is, and so do the headers and properties, except for those that count
    /// or explain failures or would hinder a new try (docs/desk.md lists them). The header
    /// x-returned-from is added. A dead letter is returned once the broker has confirmed it; one
    /// that the broker does not take is open again, and named with the reason. With a filter the
    /// command asks for the number of dead letters, or takes it from --expect. Dead letters that an
    /// interrupted command left as returning are published again. The exit status is 1 if one was
    /// not returned.
    Return(Box<return_letters::ReturnArgs>),
    /// Write a note beside dead letters
    ///
    /// The note replaces the one before, which the audit table keeps. With a filter the command asks
    /// for the number of dead letters, or takes it from --expect, and notes those that are not
    /// settled.
    Note(Box<note::NoteArgs>),
    /// Settle dead letters that are not to be returned
    ///
    /// The rows stay, with their contents, until retention deletes them. With a filter the command
    /// asks for the number of dead letters, or takes it from --expect. One that another session has
    /// locked, that is not open, or that the database refuses to change is skipped and named; the
    /// exit status is then 1.
    Discard(Box<discard::DiscardArgs>),
    /// Erase the contents of returned and discarded dead letters, for ever
    ///
    /// Erases body, headers, properties, routing key, reason and note from the rows, and the edited
    /// contents and the notes from the audit table, which keeps who did what, when and why. The
    /// message_id is kept, and in the audit table the names of edited headers and the broker's
    /// replies. An open dead letter is not forgotten, but named, and the exit status is 1: discard
    /// it first. The audit table may still have contents of a row that retention has deleted: give
    /// its id. This can't be undone: the command asks first, unless --yes or --expect is given.
    /// Repeating it is safe: a dead letter that is already forgotten is no failure.
    Forget(Box<forget::ForgetArgs>),
}

impl DeadLettersCommand {
    /// Runs `collect --follow`, which is a process of its own; returns any other command.
    pub(super) fn run_process(self) -> Result<ExitCode, Self> {
        match self {
            Self::Collect(args) if args.follow => Ok(args.run_process()),
            other => Err(other),
        }
    }

    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Schema(args) => args.run(),
            Self::Collect(args) => Box::pin(args.run()).await,
            Self::List(args) => Box::pin(args.run()).await,
            Self::Groups(args) => Box::pin(args.run()).await,
            Self::Show(args) => Box::pin(args.run()).await,
            Self::Audit(args) => Box::pin(args.run()).await,
            Self::Edit(args) => Box::pin(args.run()).await,
            Self::Return(args) => Box::pin(args.run()).await,
            Self::Note(args) => Box::pin(args.run()).await,
            Self::Discard(args) => Box::pin(args.run()).await,
            Self::Forget(args) => Box::pin(args.run()).await,
        }
    }
}
