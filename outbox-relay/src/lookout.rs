//! Where and when to look into the table for pending events.
//!
//! Looking ahead goes from lower ids to higher ones and begins where the last look ended, or a little below, where a row may have
//! appeared late (`horizon`). So an event is found after all those of its aggregate that were committed before it. What failed is found
//! by its time, what waits behind others of its aggregate by the aggregate. All of this is an optimisation that dies with the
//! session; looking through the whole table is the guarantee: at the start, when a lane is taken over, when a person changed
//! something, and every 30 s.

use std::time::{Duration, Instant};

use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::horizon::Horizon;
use crate::lanes::LaneSet;
use crate::measure;
use crate::pace::Pace;
use crate::queries::{self, Holding, Seen, Writers};
use crate::queue::Queue;

/// Rows that one look looks at.
const SLICE: i64 = 2000;

/// Least time between two lists of open transactions.
const LIST_EVERY: Duration = Duration::from_millis(50);

/// How often to look for failed events that are due, and how many to take.
const DUE_EVERY: Duration = Duration::from_millis(500);
const DUE: i64 = 1000;

/// Lines to lengthen at a time.
const LINES: usize = 64;

/// How often to look through the whole table, and the least time between two slices of it.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
const SLICE_EVERY: Duration = Duration::from_millis(20);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Lookout {
    holding: Holding,
    /// Events that are ready, beyond which there is no need to look.
    enough: usize,
    pace: Pace,
    place: Whereabouts,
    listed: Instant,
    due: Instant,
    sweep: Sweep,
}

/// What is known of the table; it ends with the session.
#[derive(Debug, Default)]
struct Whereabouts {
    horizon: Horizon,
    /// All up to here has been looked at.
    cursor: i64,
    /// The last look ended before the table did.
    more: bool,
    /// The latest row of the audit table, once it is known.
    audited: Option<Option<i64>>,
}

#[derive(Debug)]
struct Sweep {
    next: Instant,
    /// Where it goes on, while it is under way.
    at: Option<i64>,
}

impl Lookout {
    pub(crate) fn new(args: &RelayArgs, holding: Holding) -> Self {
        let now = Instant::now();
        Self {
            holding,
            enough: 2 * usize::try_from(args.relay_window).unwrap_or(usize::MAX / 2),
            pace: Pace::new(args.relay_poll_min, args.relay_poll_max),
            place: Whereabouts::default(),
            listed: now,
            due: now,
            sweep: Sweep { next: now + SWEEP_EVERY, at: None },
        }
    }

    /// Looks from the beginning of the table next time.
    pub(crate) fn start_over(&mut self) {
        // What people did is looked at from now on: all that they did before is seen on the way.
        self.place = Whereabouts { audited: self.place.audited, ..Whereabouts::default() };
        self.pace.hurry();
        self.sweep = Sweep { next: Instant::now() + SWEEP_EVERY, at: None };
    }

    /// Forgets what was known in a session that is gone.
    pub(crate) fn forget(&mut self) {
        self.place = Whereabouts::default();
        self.start_over();
    }

    /// Looks wherever it is time to, and adds to `queue` what belongs to `lanes`. Says whether it looked everywhere and found
    /// nothing.
    pub(crate) async fn look(
        &mut self,
        database: &Database,
        lanes: LaneSet,
        queue: &mut Queue,
    ) -> Result<bool, DatabaseError> {
        self.behind(database, queue).await?;
        let is_due = self.due <= Instant::now();
        if is_due {
            self.due = Instant::now() + DUE_EVERY;
            let places = queries::look_due(database, lanes, DUE, self.holding).await?;
            measure::looked(places.len());
            for place in places {
                queue.see_due(place);
            }
        }
        self.sweep(database, lanes, queue).await?;
        let has_room = queue.ready() < self.enough && !queue.is_full();
        if has_room && (is_due || self.pace.is_time()) {
            let found = self.ahead(database, lanes, queue).await?;
            return Ok(is_due && !found && !self.place.more);
        }
        Ok(false)
    }

    /// When there will be something to look at.
    pub(crate) fn next(&self, queue: &Queue) -> Instant {
        let sweep = self.sweep.next;
        let next = self.due.min(sweep);
        if queue.ready() >= self.enough || queue.is_full() {
            return next;
        }
        next.min(self.pace.next())
    }

    async fn behind(&self, database: &Database, queue: &mut Queue) -> Result<(), DatabaseError> {
        let (keys, ids) = queue.short_lines(LINES);
        if keys.is_empty() {
            return Ok(());
        }
        let most = i64::try_from(Queue::LINE).unwrap_or(i64::MAX);
        let stuck_holds = self.holding.stuck_holds;
        let places = queries::look_behind(database, &keys, &ids, most, stuck_holds).await?;
        measure::looked(places.len());
        queue.lengthen(&keys, places);
        Ok(())
    }

    async fn ahead(
        &mut self,
        database: &Database,
        lanes: LaneSet,
        queue: &mut Queue,
    ) -> Result<bool, DatabaseError> {
        let place = &self.place;
        let may_list = place.more || self.listed.elapsed() >= LIST_EVERY;
        let above = place.cursor.min(place.horizon.passed());
        let look =
            queries::look_ahead(database, above, place.horizon.open(), lanes, SLICE, self.holding);
        let (writers, seen) = if may_list && place.horizon.is_behind(place.cursor) {
            self.listed = Instant::now();
            // Sent one after the other and answered in one go: the transactions are listed before the look begins.
            let (writers, seen) = tokio::join!(queries::watch_writers(database), look);
            (Some(writers?), seen?)
        } else {
            (None, look.await?)
        };
        measure::looked(seen.rows);
        if self.place.audited.is_some_and(|audited| audited != seen.audited) {
            // What a person retried or discarded may have held back others.
            self.place.audited = Some(seen.audited);
            self.start_over();
            return Ok(true);
        }
        self.place.audited = Some(seen.audited);
        self.looked(writers, &seen);
        let mut found = false;
        for place in seen.places {
            found |= queue.see(place);
        }
        self.pace.looked(found, self.place.more);
        Ok(found)
    }

    fn looked(&mut self, writers: Option<Writers>, seen: &Seen) {
        let place = &mut self.place;
        let known = place.cursor;
        place.more = seen.rows >= SLICE;
        let reached = seen.reached.unwrap_or(known);
        place.cursor = if place.more { reached } else { known.max(reached) };
        if let Some(mut writers) = writers {
            // Rows that were there before are ids that were drawn before, though they may be deleted by now.
            writers.highest = writers.highest.max(known);
            place.horizon.looked(writers, if place.more { reached } else { i64::MAX });
        }
    }

    /// Looks whether something was overlooked: an event that is pending though nobody waits for it.
    async fn sweep(
        &mut self,
        database: &Database,
        lanes: LaneSet,
        queue: &Queue,
    ) -> Result<(), DatabaseError> {
        let now = Instant::now();
        if now < self.sweep.next {
            return Ok(());
        }
        let at = self.sweep.at.unwrap_or(0);
        let end = self.place.cursor.min(self.place.horizon.passed());
        let seen = queries::look_ahead(database, at, &[], lanes, SLICE, self.holding).await?;
        measure::looked(seen.rows);
        let overlooked = seen.places.iter().filter(|place| place.id <= end && !queue.covers(place));
        let overlooked = overlooked.count();
        if overlooked > 0 {
            tracing::info!(
                overlooked,
                "found pending events below those looked at: looking through the whole table"
            );
            self.start_over();
            return Ok(());
        }
        self.sweep = match seen.reached {
            Some(reached) if seen.rows >= SLICE && reached < end => {
                Sweep { next: now + SLICE_EVERY, at: Some(reached) }
            }
            _ => Sweep { next: now + SWEEP_EVERY, at: None },
        };
        Ok(())
    }
}
