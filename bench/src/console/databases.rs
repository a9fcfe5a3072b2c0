//! An outbox and a desk with many rows, and a console for both.

use crate::collect::Desk;
use crate::pipeline::Api;
use crate::setup::{Events, Outbox, PAYLOAD, Queue, RelayProgram, Servers};

/// Published events added per statement.
const AT_ONCE: i64 = 500_000;

/// The number of causes, of failed events and of dead letters.
const CAUSES: i64 = 300;

/// How much there is, and how often what is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) pending: i64,
    pub(super) published: i64,
    pub(super) dead_letters: i64,
    /// Consoles that are open.
    pub(super) open: usize,
    /// How many times each page is timed.
    pub(super) looks: usize,
    /// Drains of each kind.
    pub(super) rounds: usize,
}

impl Sizes {
    /// The sizes of a full run: as many rows as a large installation has.
    pub(super) const fn usual() -> Self {
        Self {
            pending: 1_000_000,
            published: 10_000_000,
            dead_letters: 1_000_000,
            open: 10,
            looks: 20,
            rounds: 3,
        }
    }

    /// A tenth of it.
    pub(super) const fn quick() -> Self {
        Self {
            pending: 100_000,
            published: 1_000_000,
            dead_letters: 100_000,
            looks: 5,
            ..Self::usual()
        }
    }

    /// Pending events that no drain changes.
    pub(super) const fn held_back(self) -> i64 {
        self.pending / 10
    }

    /// Pending events that a drain publishes.
    pub(super) const fn due(self) -> i64 {
        self.pending - self.held_back()
    }
}

/// The outbox and the desk that the console shows, filled with rows.
#[derive(Debug)]
pub(super) struct Databases {
    pub(super) outbox: Outbox,
    pub(super) desk: Desk,
    pub(super) queue: Queue,
    outbox_url: String,
    desk_url: String,
}

impl Databases {
    /// Fills both, but for the events that a drain publishes.
    pub(super) async fn new(
        servers: &Servers,
        sizes: Sizes,
        say: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        let (outbox, desk, queue) =
            tokio::try_join!(Outbox::new(servers), Desk::new(servers), Queue::new(servers))?;
        outbox.sql.batch_execute(include_str!("../../../sql/roles.sql")).await?;
        desk.sql.batch_execute(include_str!("../../../sql/dead-letters/roles.sql")).await?;
        let access = servers.postgres.access();
        for role in ["outbox_console", "dead_letters_console"] {
            access.set_password(role, &access.password).await?;
        }
        let url = |role, url: &str| {
            let database = url.rsplit('/').next().unwrap_or_default();
            access.url_as(role, &access.password, database)
        };
        let (outbox_url, desk_url) =
            (url("outbox_console", outbox.url()), url("dead_letters_console", &desk.url));
        let databases = Self { outbox, desk, queue, outbox_url, desk_url };
        databases.fill(sizes, say).await?;
        Ok(databases)
    }

    async fn fill(&self, sizes: Sizes, say: impl Fn(&str)) -> anyhow::Result<()> {
        let history = include_str!("../../sql/fill_history.sql");
        let mut first = 1;
        while first <= sizes.published {
            let last = sizes.published.min(first + AT_ONCE - 1);
            self.outbox.sql.execute(history, &[&first, &last, &PAYLOAD]).await?;
            say(&format!("{last} of {} published events", sizes.published));
            first = last + 1;
        }
        let failures = include_str!("../../sql/fill_failures.sql");
        self.outbox.sql.execute(failures, &[&sizes.held_back(), &CAUSES, &PAYLOAD]).await?;
        let audit = include_str!("../../sql/fill_audit.sql");
        self.outbox.sql.execute(audit, &[&sizes.held_back()]).await?;
        self.outbox.sql.batch_execute("VACUUM (ANALYZE) outbox_audit").await?;
        say(&format!("{} dead letters", sizes.dead_letters));
        let letters = include_str!("../../sql/fill_dead_letters.sql");
        self.desk.sql.execute(letters, &[&sizes.dead_letters, &CAUSES]).await?;
        self.desk.sql.batch_execute("VACUUM (ANALYZE) dead_letters").await?;
        Ok(())
    }

    /// Adds the events that a drain publishes.
    pub(super) async fn add_due(&self, sizes: Sizes) -> anyhow::Result<()> {
        let due = usize::try_from(sizes.due())?;
        self.outbox.fill(Events::distinct(due)).await?;
        self.outbox.calm().await
    }

    /// Starts a console, which logs in as its own roles.
    pub(super) async fn console(&self, program: &RelayProgram) -> anyhow::Result<Api> {
        let settings = [
            ("DATABASE_URL", self.outbox_url.as_str()),
            ("DEAD_LETTERS_DATABASE_URL", &self.desk_url),
            ("RABBITMQ_URL", &self.queue.url),
            ("CONSOLE_ADDR", "127.0.0.1:0"),
            ("OPS_ADDR", "127.0.0.1:0"),
        ];
        let console = Api::start(program.path(), &["console"], &settings).await?;
        console.ready().await?;
        Ok(console)
    }
}
