//! The operator's commands: each does one thing and exits.
//!
//! | module | what it holds |
//! |---|---|
//! | `check`, `schema` | setting the outbox up |
//! | `status`, `failures`, `events`, `show` | inspecting it; `event` is an event as they print it, `recovered` the causes that ended |
//! | `audit` | what people did; `audit_entry` is what lists of it print |
//! | `retry`, `edit`, `replay`, `discard`, `restore`, `forget`, `prune` | changing it; all but `prune` write to the audit table |
//! | `pause`, `resume`, `pauses` | what is not published for now; `paused` is a pause as they print it |
//! | `dead_letters` | the desk for what consumers could not process, a file a command |
//! | `whereabouts` | `where` and `reconcile`: where events are, from the outbox to each consumer |
//! | `propagation` | which relays have seen a change |
//! | `skipped` | which events were not changed, and why |
//! | `audit_actions` | the words that the audit table must take for what people do |
//! | `selection`, `batches`, `consent`, `progress` | the events that a command changes, a batch at a time, the person's consent, and how far it is |
//! | `stop` | ends a command after the window or the batch at hand |
//! | `paging` | a page of a list, and where the next one begins |
//! | `args` | arguments that several commands share |
//! | `session`, `queries` | the database session, and one function per SQL statement |
//! | `output`, `outcome` | what is printed, and the exit status |

mod args;
mod audit;
mod audit_actions;
mod audit_entry;
mod batches;
mod check;
mod consent;
mod dead_letters;
mod discard;
mod edit;
mod event;
mod events;
mod failures;
mod forget;
mod outcome;
mod output;
pub(crate) mod paging;
mod pause;
mod paused;
mod pauses;
pub(crate) mod progress;
mod propagation;
mod prune;
mod queries;
mod recovered;
mod replay;
mod restore;
mod resume;
mod retry;
mod schema;
mod selection;
mod session;
mod show;
mod skipped;
mod status;
mod stop;
mod whereabouts;

use std::process::ExitCode;

use clap::Subcommand;
use service_kit::telemetry;

#[cfg(feature = "console")]
pub(crate) use edit::json::validate as validate_json;
#[cfg(feature = "console")]
pub(crate) use outcome::EXIT_UNAVAILABLE;
use outcome::Outcome;
pub(crate) use outcome::UsageError;
#[cfg(feature = "console")]
pub(crate) use whereabouts::inboxes::check_inboxes;

/// A command of the operator.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Check that a relay can work here, and print how to fix what is wrong
    ///
    /// Checks the database, the outbox, the privileges of the role, and the broker, with the
    /// settings of a relay. Each problem is printed with the command or the SQL that fixes it.
    /// Nothing is changed: the message that is published to the exchange is rolled back. The exit
    /// status is 1 if there is a problem.
    Check(Box<check::CheckArgs>),
    /// Print the SQL that adds the outbox to a database
    ///
    /// The SQL creates the table, its indexes and views, and the audit table. The command connects
    /// to no database.
    Schema(schema::SchemaArgs),
    /// Show the backlog, the rate, the relays with their lanes, and stuck events
    ///
    /// Prints how many events are pending, the oldest of them, how many of each type were published
    /// in the last minute, which relay owns which lanes, and the first stuck events.
    Status(Box<status::StatusArgs>),
    /// Show what failed, by cause: how many events, what waits behind them, what fixes it
    ///
    /// Failures whose reasons differ in ids, numbers and quoted values only have one cause. Its
    /// fingerprint selects them in `events`, `retry` and `discard`. Large groups are counted up to a
    /// limit, marked with a plus sign: `retry --fingerprint CAUSE --dry-run` counts them all.
    Failures(Box<failures::FailuresArgs>),
    /// List events
    ///
    /// Pending, stuck and parked events are listed oldest first, waiting and scheduled ones by their
    /// time, all others newest first. With --kind or --fingerprint pending events are listed. The
    /// state "behind 17" means that event 17 of the same aggregate failed and holds this event back.
    /// A page is followed by the next one with --after. For filters without an index a bounded number
    /// of rows is read; the command says so if the search ended for that.
    Events(Box<events::EventsArgs>),
    /// Show one event with its payload, its headers and what people did to it
    ///
    /// A discarded event is shown from its copy in the audit table.
    Show(Box<show::ShowArgs>),
    /// List what people did with these commands, the latest first
    ///
    /// Prints who did what, when, as which database role and why. All rows of one command have the
    /// same operation. The copies of events are left out: `show EVENT_ID` prints them. Rows of one
    /// event or of one operation are found by an index; with other filters a bounded number of rows
    /// is read.
    Audit(Box<audit::AuditArgs>),
    /// Show where an event is: in the outbox, with which consumer, among which dead letters
    ///
    /// Asks the outbox, the inboxes of the consumers that a file names, the table of dead letters
    /// and the consumers' queues. The exit status is 0 if the event is delivered: all known consumers
    /// of its type have applied it, or it is published and none is known. It is 1 if the event does
    /// not arrive unless a person does something, 2 if it is on its way, and 3 if that is unknown: a
    /// place can't be read, a queue holds messages of which it may be one, or the outbox does not
    /// have it.
    Where(Box<whereabouts::WhereArgs>),
    /// Find published events that a consumer has neither applied nor refused
    ///
    /// Reads the whole outbox once, for all consumers that the file names. An event counts that was
    /// published longer ago than the consumer's longest_retry, and of which neither its inbox nor an
    /// unreturned dead letter knows. The exit status is 1 if there are any, and 3 if all of them may
    /// wait in the consumer's queues, which hold messages.
    Reconcile(Box<whereabouts::reconcile::ReconcileArgs>),
    /// Make events due that are stuck or wait for their next attempt
    ///
    /// With a filter the command asks for the number of events, or takes it from --expect. An event
    /// that another session has locked, or that the database refuses to change, is skipped and named.
    /// The command ends when every active relay has confirmed that it has seen the change. The exit
    /// status is 1 if an event was skipped, and else 3 if a relay does not confirm within 10 s.
    Retry(Box<retry::RetryArgs>),
    /// Change the payload, the headers or the type of an event that is not published yet
    ///
    /// On a terminal the contents are opened in $VISUAL or $EDITOR; the event is not locked
    /// meanwhile, and not changed if somebody else has changed it since. A signal that ends the
    /// command removes the text. What could not be a message is refused: give the command the
    /// relays' settings. The audit table keeps the row as it was. The command ends when every active
    /// relay has confirmed that it has seen the change. The exit status is 3 if the event may arrive
    /// as it was before: it was in flight, or a relay does not confirm within 10 s.
    Edit(Box<edit::EditArgs>),
    /// Delete events that must not be published, and keep a copy in the audit table
    ///
    /// A published event can't be discarded. With a filter the command asks for the number of
    /// events, or takes it from --expect. An event that another session has locked, or that the
    /// database refuses to delete, is skipped and named. The command ends when every active relay has
    /// confirmed that it will not send the events. An event that a relay had sent before is in
    /// flight: it may still arrive, or has arrived. The exit status is 1 if an event was skipped, and
    /// else 3 if one is in flight or a relay does not confirm within 10 s.
    Discard(Box<discard::DiscardArgs>),
    /// Undo a discard
    ///
    /// Adds the events again from their copies in the audit table, with the same event_id and with
    /// new ids: each is the last one of its aggregate. An event that is in the outbox again, or
    /// whose copy was forgotten, is not restored.
    Restore(Box<restore::RestoreArgs>),
    /// Erase the contents of events that are discarded or published, for ever
    ///
    /// Erases payload, headers, aggregate_id and errors from the copies in the audit table, which
    /// keeps who did what, when and why, and deletes the events if they are still in the outbox. A
    /// pending event is not forgotten: discard it first. It can't be undone: the command asks
    /// before, unless --yes is given. It may be repeated: what is forgotten already is no failure.
    Forget(Box<forget::ForgetArgs>),
    /// Keep relays from publishing some events for a while
    ///
    /// Events that match all that is named are paused; in strict order the later events of their
    /// aggregates wait as well. What is in flight is finished. A pause ends by itself after --for or
    /// at --until, or when somebody resumes it. The command ends when every active relay has
    /// confirmed that it has seen the pause. The exit status is 3 if one does not, or does not
    /// respect pauses: an older release.
    Pause(Box<pause::PauseArgs>),
    /// End pauses
    ///
    /// Pauses are named by their numbers, or by just what they name. What was paused is published,
    /// each aggregate in its order. The command ends when every active relay has confirmed that it
    /// has seen the change. The exit status is 3 if one does not.
    Resume(Box<resume::ResumeArgs>),
    /// List what is paused
    Pauses(Box<pauses::PausesArgs>),
    /// Publish events again that were published before
    ///
    /// Messages keep their event_id, so that consumers which deduplicate skip what they have
    /// applied, and carry the header x-replayed. published_at does not change. Events are sent in
    /// the order of their ids, independently of what the relays publish meanwhile. Without EVENT_ID
    /// the command asks for the number of events, or takes it from --expect.
    Replay(Box<replay::ReplayArgs>),
    /// Delete events that were published long enough ago
    ///
    /// Deletes them in small batches, as a relay does after OUTBOX_RETENTION. An event that another
    /// session has locked is skipped and named.
    Prune(Box<prune::PruneArgs>),
    /// Collect, look at, edit and return what consumers could not process
    ///
    /// The messages of a dead-letter queue, of a consumer in any language, become rows of the table
    /// dead_letters, in any database (DEAD_LETTERS_DATABASE_URL).
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
}

impl AdminCommand {
    /// Runs the command, prints an error to standard error, and returns the exit status.
    ///
    /// The exit status is 0 on success, 1 when the command failed or found a problem, 3 when all was
    /// done but a changed event may still arrive as it was before, 64 for a usage error, and 69 when
    /// a server is away.
    #[must_use]
    pub fn run(mut self) -> ExitCode {
        if let Self::DeadLetters(command) = self {
            match command.run_process() {
                Ok(code) => return code,
                Err(command) => self = Self::DeadLetters(command),
            }
        }
        telemetry::install_tls();
        let result =
            tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
                let result = runtime.block_on(self.execute());
                // A blocked thread (a name look-up, say) must not delay the exit.
                runtime.shutdown_background();
                result
            });
        outcome::exit_code(result)
    }

    async fn execute(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Check(args) => Box::pin(args.run()).await,
            Self::Schema(args) => args.run(),
            Self::Status(args) => Box::pin(args.run()).await,
            Self::Failures(args) => Box::pin(args.run()).await,
            Self::Events(args) => Box::pin(args.run()).await,
            Self::Show(args) => Box::pin(args.run()).await,
            Self::Audit(args) => Box::pin(args.run()).await,
            Self::Where(args) => Box::pin(args.run()).await,
            Self::Reconcile(args) => Box::pin(args.run()).await,
            Self::Retry(args) => Box::pin(args.run()).await,
            Self::Edit(args) => Box::pin(args.run()).await,
            Self::Discard(args) => Box::pin(args.run()).await,
            Self::Restore(args) => Box::pin(args.run()).await,
            Self::Forget(args) => Box::pin(args.run()).await,
            Self::Pause(args) => Box::pin(args.run()).await,
            Self::Resume(args) => Box::pin(args.run()).await,
            Self::Pauses(args) => Box::pin(args.run()).await,
            Self::Replay(args) => Box::pin(args.run()).await,
            Self::Prune(args) => Box::pin(args.run()).await,
            Self::DeadLetters(command) => Box::pin(command.run()).await,
        }
    }
}

/// Prints `text` or its error, and returns the exit status.
pub(crate) fn print(text: anyhow::Result<String>) -> ExitCode {
    outcome::exit_code(text.and_then(|text| output::text(&text)).map(|()| Outcome::Ok))
}
