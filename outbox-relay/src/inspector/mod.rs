//! Reads the table beside the loop, on a session of its own, while this relay owns lanes: the
//! [`sweep`] finds events that were overlooked, and the [`backlog`] is measured. Nothing waits for
//! either, however slow they are or whether they fail.

pub(crate) mod backlog;
mod sweep;

use std::time::{Duration, Instant};

use service_kit::backoff::Backoff;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::database::queries::{BlockingPolicy, InspectStatements};
use crate::database::{DatabaseError, Session};
use crate::queue::EventRef;
use backlog::Backlog;
pub(crate) use sweep::Scope;
use sweep::Sweep;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Inspector {
    config: Config,
    policy: BlockingPolicy,
    backlog: Backlog,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    scope: watch::Sender<Scope>,
    found: mpsc::Receiver<Vec<EventRef>>,
    _task: AbortOnDropHandle<()>,
}

impl Inspector {
    pub(crate) fn new(config: Config, policy: BlockingPolicy) -> Self {
        Self { config, policy, backlog: Backlog::default(), running: None }
    }

    /// Changes the scope. Without lanes there is nothing to do, and the session ends.
    pub(crate) fn set_scope(&mut self, scope: Scope) {
        self.backlog.expire();
        if scope.lanes.is_empty() {
            self.running = None;
        } else if let Some(running) = &self.running {
            running.scope.send_replace(scope);
        } else {
            let (scope, watched) = watch::channel(scope);
            let (tell, found) = mpsc::channel(1);
            let inspection = Inspection {
                config: self.config.clone(),
                policy: self.policy,
                backlog: self.backlog.clone(),
                scope: watched,
                found: tell,
            };
            let task = AbortOnDropHandle::new(tokio::spawn(inspection.run()));
            self.running = Some(Running { scope, found, _task: task });
        }
    }

    /// Waits for pending events up to the end of the scope that the sweep has found: some of them
    /// may have been overlooked. Waits for ever while the inspector does not run. May be dropped at
    /// any time.
    pub(crate) async fn found(&mut self) -> Vec<EventRef> {
        if let Some(running) = &mut self.running
            && let Some(event_refs) = running.found.recv().await
        {
            return event_refs;
        }
        std::future::pending().await
    }

    /// The same without waiting.
    pub(crate) fn take_found(&mut self) -> Option<Vec<EventRef>> {
        self.running.as_mut()?.found.try_recv().ok()
    }
}

struct Inspection {
    config: Config,
    policy: BlockingPolicy,
    backlog: Backlog,
    scope: watch::Receiver<Scope>,
    found: mpsc::Sender<Vec<EventRef>>,
}

impl Inspection {
    /// Ends with its task.
    async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        loop {
            let begun = Instant::now();
            let Err(error) = self.inspect().await;
            if begun.elapsed() > Duration::from_mins(1) {
                backoff.reset();
            }
            let wait = backoff.next_delay();
            // The relay itself reports whether the database can be reached.
            tracing::warn!(
                %error,
                "the session that measures the backlog and looks for overlooked events is gone: trying again later"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads the table whenever it is time to, until the session is lost.
    async fn inspect(&self) -> Result<std::convert::Infallible, DatabaseError> {
        let session = Session::connect(self.config.database.url()).await?;
        let table = &self.config.outbox.outbox_table;
        let statements = InspectStatements::prepare(session.client(), table).await?;
        let (mut measure, mut sweep) = (Instant::now(), Sweep::default());
        loop {
            tokio::time::sleep_until(measure.min(sweep.next()).into()).await;
            if measure <= Instant::now() {
                let measured = self.backlog.measure(&session, &statements).await;
                go_on(&session, measured, "the backlog could not be measured")?;
                measure = Instant::now() + Backlog::EVERY;
            }
            if sweep.next() <= Instant::now() {
                let scope = self.scope.borrow().clone();
                let swept = sweep.slice(&session, &statements, scope, self.policy).await;
                if let Some(event_refs) = go_on(&session, swept, "the outbox could not be swept")?
                    && !event_refs.is_empty()
                {
                    // The next slice waits until the relay has taken these.
                    self.found.send(event_refs).await.ok();
                }
            }
        }
    }
}

/// A statement that was given up, or refused, is no reason to give up the session.
fn go_on<T>(
    session: &Session,
    result: Result<T, DatabaseError>,
    what: &str,
) -> Result<Option<T>, DatabaseError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ DatabaseError::Refused(_)) if !session.is_closed() => {
            tracing::warn!(%error, "{what}: trying again later");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
