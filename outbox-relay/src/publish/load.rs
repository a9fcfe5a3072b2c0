//! Loads the contents of the events that are sent next. Events whose contents can't be loaded are found and set apart; the others go on.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use uuid::Uuid;

use crate::database::queries;
use crate::database::{Database, DatabaseError};
use crate::publish::event::{Event, Limits, attempts, event, refusals};
use crate::queue::Place;

/// How long the server may take to load several events, and one by itself: less than a lane's lease.
const SEVERAL: Duration = Duration::from_secs(1);
const ALONE: Duration = Duration::from_secs(3);

/// Into how many parts events are divided among which one can't be loaded.
const PARTS: usize = 16;

/// A load that has taken this long and got something gets no more.
const ENOUGH: Duration = Duration::from_secs(2);

/// How long the digits of numbers are counted before text is made of them, once that has failed.
const CAUTION: Duration = Duration::from_mins(1);

/// What was found at some places.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    pub(crate) events: Vec<Event>,
    /// Those that were left out: enough was loaded, or the table is locked.
    pub(crate) left: Vec<Place>,
    /// Those that are not pending any more.
    pub(crate) gone: Vec<Place>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Loader {
    /// When the last load failed that made text of something.
    failed: Option<Instant>,
}

/// Places that are loaded with one statement.
#[derive(Debug)]
struct Part {
    places: Vec<Place>,
    /// A load of these, or of more, failed.
    failed: bool,
}

impl Loader {
    /// Loads what is at `places`, and nothing further once `bytes` are loaded.
    pub(crate) async fn load(
        &mut self,
        database: &Database,
        places: &[Place],
        bytes: i64,
        limits: Limits,
    ) -> Result<Claimed, DatabaseError> {
        let mut claimed = Claimed::default();
        let loaded = self.load_parts(database, places, bytes, limits, &mut claimed).await;
        if matches!(loaded, Err(DatabaseError::Silent)) {
            // The session ends over it: the next one begins with care.
            self.failed = Some(Instant::now());
        }
        loaded.map(|()| claimed)
    }

    async fn load_parts(
        &mut self,
        database: &Database,
        places: &[Place],
        bytes: i64,
        limits: Limits,
        claimed: &mut Claimed,
    ) -> Result<(), DatabaseError> {
        let begun = Instant::now();
        let mut parts = VecDeque::from([Part { places: places.to_vec(), failed: false }]);
        while let Some(Part { mut places, failed }) = parts.pop_front() {
            let room = bytes - claimed.bytes();
            if room <= 0 || (begun.elapsed() > ENOUGH && !claimed.is_empty()) {
                claimed.left.extend(places);
                continue;
            }
            if self.failed.is_some_and(|failed| failed.elapsed() < CAUTION) {
                places = count_digits(database, places, limits, claimed).await?;
            }
            if places.is_empty() {
                continue;
            }
            let within = if places.len() == 1 { ALONE } else { SEVERAL };
            let loaded = queries::load(database, &ids(&places), room, limits, within).await;
            let error = match loaded {
                Ok(rows) => {
                    claimed.add(places, &rows, limits)?;
                    continue;
                }
                Err(error) if error.is_over_contents() => error,
                Err(error) => return Err(error),
            };
            self.failed = Some(Instant::now());
            // Whether it is the contents' fault, or the table is locked.
            let identified = match queries::identify(database, &ids(&places), SEVERAL).await {
                Ok(rows) => rows,
                Err(error) if error.is_over_contents() => {
                    claimed.left.extend(places);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match places[..] {
                [place] if failed => {
                    let reason = format!("its contents can't be loaded: {error}");
                    claimed.set_apart(&identified, place, reason)?;
                }
                [_] => parts.push_front(Part { places, failed: true }),
                _ => {
                    for part in places.chunks(places.len().div_ceil(PARTS)).rev() {
                        parts.push_front(Part { places: part.to_vec(), failed: true });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Sets those apart of which numbers alone are longer than a message may be; returns the others.
async fn count_digits(
    database: &Database,
    places: Vec<Place>,
    limits: Limits,
    claimed: &mut Claimed,
) -> Result<Vec<Place>, DatabaseError> {
    let counted = queries::count_digits(database, &ids(&places), limits.payload, SEVERAL).await;
    let digits: HashMap<i64, i64> = match counted {
        Ok(rows) => rows
            .iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("digits")?)))
            .collect::<Result<_, tokio_postgres::Error>>()?,
        // It is loaded nevertheless.
        Err(error) if error.is_over_contents() => HashMap::new(),
        Err(error) => return Err(error),
    };
    let (long, others): (Vec<Place>, Vec<Place>) =
        places.into_iter().partition(|place| digits.contains_key(&place.id));
    if !long.is_empty() {
        let identified = queries::identify(database, &ids(&long), SEVERAL).await?;
        for place in long {
            let (count, longest) = (digits[&place.id], limits.payload);
            let reason = format!(
                "its numbers have {count} digits at least, RELAY_MAX_MESSAGE_BYTES allows {longest}"
            );
            claimed.set_apart(&identified, place, reason)?;
        }
    }
    Ok(others)
}

fn ids(places: &[Place]) -> Vec<i64> {
    places.iter().map(|place| place.id).collect()
}

impl Claimed {
    const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.gone.is_empty()
    }

    fn bytes(&self) -> i64 {
        self.events.iter().map(|event| event.place.size).sum()
    }

    /// Adds what `rows` say of `places`.
    fn add(
        &mut self,
        places: Vec<Place>,
        rows: &[Row],
        limits: Limits,
    ) -> Result<(), DatabaseError> {
        let now = Instant::now();
        let mut places: HashMap<i64, Place> =
            places.into_iter().map(|place| (place.id, place)).collect();
        for row in rows {
            let Some(place) = places.remove(&row.try_get("id")?) else {
                continue;
            };
            match event(row, place, limits, now)? {
                Some(event) => {
                    self.events.push(Event { refusals: refusals(row)?, ..event });
                }
                None => self.left.push(place),
            }
        }
        self.gone.extend(places.into_values());
        Ok(())
    }

    /// Adds what is at `place`, whose contents are not to be had, by what is known of it without them.
    fn set_apart(
        &mut self,
        identified: &[Row],
        place: Place,
        reason: String,
    ) -> Result<(), DatabaseError> {
        for row in identified {
            if row.try_get::<_, i64>("id")? == place.id {
                let event_id: Uuid = row.try_get("event_id")?;
                self.events.push(Event::unreadable(place, event_id, attempts(row)?, reason));
                return Ok(());
            }
        }
        self.gone.push(place);
        Ok(())
    }
}
