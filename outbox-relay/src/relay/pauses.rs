//! Reads the pauses: often, and before a change that people made is acknowledged to the command.

use std::time::{Duration, Instant};

use metrics::{describe_gauge, gauge};
use service_kit::health::Health;

use super::engine::Engine;
use crate::database::queries::{self, LoadedPauses};
use crate::database::{Database, DatabaseError, PausesTable};
use crate::pauses::MAX_PAUSES;

const ACTIVE: &str = "outbox_relay_pauses";
const AGE: &str = "outbox_relay_oldest_pause_age_seconds";

/// How often to read the pauses: some end by themselves.
const READ_EVERY: Duration = Duration::from_millis(200);

/// Registers the metrics, so that they are there from the start.
pub(super) fn describe() {
    describe_gauge!(ACTIVE, "Pauses that are active");
    describe_gauge!(AGE, "Age of the oldest active pause");
    gauge!(ACTIVE).set(0);
    gauge!(AGE).set(0);
}

/// How long after an attempt that failed to read them again, and how often to look for a table that
/// was not there.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

const UNREADABLE: &str =
    "the pauses can't be read (this role may not: `outbox-relay check` prints what mends that)";

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PauseReader {
    /// When to read them next; None: at once.
    next: Option<Instant>,
    /// When to look for the table next, if there was none.
    find_next: Option<Instant>,
    /// Whether they were read since the process began.
    are_known: bool,
    /// Whether they could not be read the last time.
    has_failed: bool,
    /// What is reported.
    problem: Option<String>,
}

/// Whether the engine knows the pauses as they are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PauseKnowledge {
    Current,
    /// They could not be read: those that were known before hold.
    Earlier,
}

impl PauseReader {
    /// The session is gone: the next one reads the pauses before it scans.
    pub(super) const fn lose_session(&mut self) {
        self.next = None;
        self.find_next = None;
    }

    /// Reads the pauses, if it is time.
    ///
    /// # Errors
    /// When the session is lost, or the pauses can't be read now and none were known before.
    pub(super) async fn check(
        &mut self,
        database: &mut Database,
        engine: &mut Engine,
        health: &Health,
    ) -> Result<PauseKnowledge, DatabaseError> {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return Ok(self.knowledge());
        }
        self.read(database, engine, health).await
    }

    /// Reads the pauses after a change that people made, but not at once again if that has just
    /// failed.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(super) async fn read_changed(
        &mut self,
        database: &mut Database,
        engine: &mut Engine,
        health: &Health,
    ) -> Result<PauseKnowledge, DatabaseError> {
        if self.knowledge() == PauseKnowledge::Earlier {
            return self.check(database, engine, health).await;
        }
        // The table may be new.
        self.find_next = None;
        self.read(database, engine, health).await
    }

    const fn knowledge(&self) -> PauseKnowledge {
        if self.has_failed { PauseKnowledge::Earlier } else { PauseKnowledge::Current }
    }

    async fn read(
        &mut self,
        database: &mut Database,
        engine: &mut Engine,
        health: &Health,
    ) -> Result<PauseKnowledge, DatabaseError> {
        let loaded = self.load(database).await;
        let now = Instant::now();
        match loaded {
            Ok(Some(LoadedPauses { pauses, oldest_age_seconds, are_all })) => {
                self.next = Some(now + READ_EVERY);
                self.are_known = true;
                self.has_failed = false;
                gauge!(ACTIVE).set(u32::try_from(pauses.len()).unwrap_or(u32::MAX));
                gauge!(AGE).set(oldest_age_seconds.max(0.0));
                engine.set_pauses(pauses, now);
                self.report((!are_all).then(too_many), health);
            }
            // A relay that begins so publishes what people pause, and commands name it.
            Ok(None) if !self.are_known => {
                self.next = Some(now + TRY_AGAIN_AFTER);
                self.report(Some(format!("{UNREADABLE}: what is paused is published")), health);
            }
            Ok(None) => self.fail(UNREADABLE, now, health),
            // A lock keeps nobody from publishing what is not paused.
            Err(error) if error.is_refusal() && self.are_known => {
                self.fail(&format!("the pauses can't be read ({error})"), now, health);
            }
            Err(error) => return Err(error),
        }
        Ok(self.knowledge())
    }

    /// Returns `None` if the role may not read them.
    async fn load(
        &mut self,
        database: &mut Database,
    ) -> Result<Option<LoadedPauses>, DatabaseError> {
        let now = Instant::now();
        let is_unknown = matches!(database.pauses, PausesTable::Unknown);
        if is_unknown || self.find_next.is_none_or(|next| next <= now) {
            self.find_next = Some(now + TRY_AGAIN_AFTER);
            database.find_pauses().await?;
        }
        match &database.pauses {
            PausesTable::Readable(statements) => {
                queries::load_pauses(&database.session, statements).await.map(Some)
            }
            PausesTable::Absent => Ok(Some(LoadedPauses::default())),
            PausesTable::Unreadable | PausesTable::Unknown => Ok(None),
        }
    }

    /// They could not be read: those that were known before hold.
    fn fail(&mut self, problem: &str, now: Instant, health: &Health) {
        self.next = Some(now + TRY_AGAIN_AFTER);
        self.has_failed = true;
        self.report(Some(format!("{problem}: what was paused before stays paused")), health);
    }

    /// Logs a new problem, and shows it on `/readyz`.
    fn report(&mut self, problem: Option<String>, health: &Health) {
        if self.problem == problem {
            return;
        }
        if let Some(problem) = &problem {
            tracing::warn!("{problem}");
            health.note("pauses", problem.clone());
        } else {
            tracing::info!("the pauses are read again");
            health.forget_note("pauses");
        }
        self.problem = problem;
    }
}

fn too_many() -> String {
    format!(
        "more than {MAX_PAUSES} pauses are active, and only the first {MAX_PAUSES} hold: \
         `outbox-relay resume` ends some"
    )
}
