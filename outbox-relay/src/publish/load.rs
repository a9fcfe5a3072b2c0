//! Loads the contents of the events that are sent next. Events whose contents can't be loaded are
//! found by division; the others go on.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use uuid::Uuid;

use crate::database::{Database, DatabaseError, queries};
use crate::publish::event::{Event, Limits, read_attempts, read_refusals};
use crate::queue::EventRef;

/// How long the server may take to load several events: less than a lane's lease.
const BATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long it may take to load a single one: also less than that.
const SINGLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Into how many parts a batch is divided of which an event can't be loaded.
const PARTS: usize = 16;

/// After this long a load that got something ends.
const LOAD_TIME: Duration = Duration::from_secs(2);

/// How long after a failed load the digits of numbers are counted before text is made of them.
const CAUTION: Duration = Duration::from_mins(1);

/// What the table holds under some ids.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) events: Vec<Event>,
    /// Those that were not loaded: enough was, or the table is locked.
    pub(crate) deferred: Vec<EventRef>,
    /// Those that are not pending any more.
    pub(crate) gone: Vec<EventRef>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Loader {
    /// When a load last failed over contents.
    failed_at: Option<Instant>,
}

/// Events that are loaded by one statement.
#[derive(Debug)]
struct Part {
    event_refs: Vec<EventRef>,
    /// A load of these, or of more, failed.
    failed: bool,
}

impl Loader {
    /// Loads events, and no further one once `bytes` are loaded.
    pub(crate) async fn load(
        &mut self,
        database: &Database,
        event_refs: &[EventRef],
        bytes: i64,
        limits: Limits,
    ) -> Result<Loaded, DatabaseError> {
        let mut loaded = Loaded::default();
        // The audit row is read before the contents, which then include its change. Not by one
        // statement: a lock on the audit table would count as a fault of the contents.
        let (audited, result) = tokio::join!(
            biased;
            queries::audited_up_to(database),
            self.load_parts(database, event_refs, bytes, limits, &mut loaded)
        );
        if matches!(result, Err(DatabaseError::Silent)) {
            // The session ends over it: the next one loads with caution.
            self.failed_at = Some(Instant::now());
        }
        result?;
        let audit_id = audited?;
        for event in &mut loaded.events {
            event.audit_id = audit_id;
        }
        Ok(loaded)
    }

    async fn load_parts(
        &mut self,
        database: &Database,
        event_refs: &[EventRef],
        bytes: i64,
        limits: Limits,
        loaded: &mut Loaded,
    ) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        let mut parts = VecDeque::from([Part { event_refs: event_refs.to_vec(), failed: false }]);
        while let Some(Part { mut event_refs, failed }) = parts.pop_front() {
            let room = bytes - loaded.bytes();
            if room <= 0 || (begun.elapsed() > LOAD_TIME && !loaded.is_empty()) {
                loaded.deferred.extend(event_refs);
                continue;
            }
            if self.failed_at.is_some_and(|failed_at| failed_at.elapsed() < CAUTION) {
                event_refs = exclude_long_numbers(database, event_refs, limits, loaded).await?;
            }
            if event_refs.is_empty() {
                continue;
            }
            let within = if event_refs.len() == 1 { SINGLE_TIMEOUT } else { BATCH_TIMEOUT };
            let rows = queries::load(database, &ids(&event_refs), room, limits, within).await;
            let error = match rows {
                Ok(rows) => {
                    loaded.add(event_refs, &rows, limits)?;
                    continue;
                }
                Err(error) if error.is_over_contents() => error,
                Err(error) => return Err(error),
            };
            self.failed_at = Some(Instant::now());
            // Whether it is the contents' fault, or the table is locked.
            let identified =
                match queries::identify(database, &ids(&event_refs), BATCH_TIMEOUT).await {
                    Ok(rows) => rows,
                    Err(error) if error.is_over_contents() => {
                        loaded.deferred.extend(event_refs);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
            match event_refs[..] {
                [event_ref] if failed => {
                    let reason = format!("its contents can't be loaded: {error}");
                    loaded.add_unreadable(&identified, event_ref, reason)?;
                }
                [_] => parts.push_front(Part { event_refs, failed: true }),
                _ => {
                    for part in event_refs.chunks(event_refs.len().div_ceil(PARTS)).rev() {
                        parts.push_front(Part { event_refs: part.to_vec(), failed: true });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Finds the events of which numbers alone are longer than a message may be. Returns the others.
async fn exclude_long_numbers(
    database: &Database,
    event_refs: Vec<EventRef>,
    limits: Limits,
    loaded: &mut Loaded,
) -> Result<Vec<EventRef>, DatabaseError> {
    let counted =
        queries::count_digits(database, &ids(&event_refs), limits.payload, BATCH_TIMEOUT).await;
    let digits: HashMap<i64, i64> = match counted {
        Ok(rows) => rows
            .iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("digits")?)))
            .collect::<Result<_, tokio_postgres::Error>>()?,
        // They are loaded nevertheless.
        Err(error) if error.is_over_contents() => HashMap::new(),
        Err(error) => return Err(error),
    };
    let (long, others): (Vec<EventRef>, Vec<EventRef>) =
        event_refs.into_iter().partition(|event_ref| digits.contains_key(&event_ref.id));
    if !long.is_empty() {
        let identified = queries::identify(database, &ids(&long), BATCH_TIMEOUT).await?;
        for event_ref in long {
            let (count, longest) = (digits[&event_ref.id], limits.payload);
            let reason = format!(
                "its numbers have {count} digits at least, RELAY_MAX_MESSAGE_BYTES allows {longest}"
            );
            loaded.add_unreadable(&identified, event_ref, reason)?;
        }
    }
    Ok(others)
}

fn ids(event_refs: &[EventRef]) -> Vec<i64> {
    event_refs.iter().map(|event_ref| event_ref.id).collect()
}

impl Loaded {
    const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.gone.is_empty()
    }

    fn bytes(&self) -> i64 {
        self.events.iter().map(|event| event.event_ref.size).sum()
    }

    /// Adds the events of `rows`; those of `event_refs` that have no row are gone.
    fn add(
        &mut self,
        event_refs: Vec<EventRef>,
        rows: &[Row],
        limits: Limits,
    ) -> Result<(), DatabaseError> {
        let now = Instant::now();
        let mut event_refs: HashMap<i64, EventRef> =
            event_refs.into_iter().map(|event_ref| (event_ref.id, event_ref)).collect();
        for row in rows {
            let Some(event_ref) = event_refs.remove(&row.try_get("id")?) else {
                continue;
            };
            match Event::from_row(row, event_ref, limits, now)? {
                Some(event) => {
                    self.events.push(Event { refusals: read_refusals(row)?, ..event });
                }
                None => self.deferred.push(event_ref),
            }
        }
        self.gone.extend(event_refs.into_values());
        Ok(())
    }

    /// Adds an event whose contents can't be loaded, by what is known of it without them.
    fn add_unreadable(
        &mut self,
        identified: &[Row],
        event_ref: EventRef,
        reason: String,
    ) -> Result<(), DatabaseError> {
        for row in identified {
            if row.try_get::<_, i64>("id")? == event_ref.id {
                let event_id: Uuid = row.try_get("event_id")?;
                self.events.push(Event::unreadable(
                    event_ref,
                    event_id,
                    read_attempts(row)?,
                    reason,
                ));
                return Ok(());
            }
        }
        self.gone.push(event_ref);
        Ok(())
    }
}
