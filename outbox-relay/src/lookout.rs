//! Where and when to look into the table for pending events.
//!
//! Looking ahead goes from lower ids to higher ones and begins where the last look ended, or a little below, where a row may have
//! appeared late (`horizon`). So an event is found after all those of its aggregate that were committed before it. What failed is found
//! by its time, what waits behind others of its aggregate by the aggregate. All of this is an optimisation that dies with the
//! session; looking through the whole table is the guarantee: at the start, when a lane is taken over, when a person changed
//! something, and all the time beside the turns (`sweep`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::horizon::Horizon;
use crate::lanes::{LaneSet, lane};
use crate::measure;
use crate::pace::Pace;
use crate::queries::{self, Holding, Seen, Writers};
use crate::queue::{Place, Queue};

/// Rows that one look looks at.
const SLICE: i64 = 2000;

/// Least time between two lists of open transactions.
const LIST_EVERY: Duration = Duration::from_millis(50);

/// How often to look for failed events that are due, and how many to take.
const DUE_EVERY: Duration = Duration::from_millis(500);
const DUE: i64 = 1000;

/// Lines to lengthen at a time.
const LINES: usize = 64;

/// How often the log tells at the most that events were overlooked.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It went everywhere and found nothing.
    Nothing,
    /// It found something, or there is more to look at.
    Something,
    /// The table holds other rows under the same ids: what was loaded of it is void.
    Replaced,
}

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
    /// Events that the sweep has found and nobody waits for, by their ids.
    suspects: BTreeSet<i64>,
    told: Option<Instant>,
}

/// What is known of the table; it ends with the session.
#[derive(Debug)]
struct Whereabouts {
    horizon: Horizon,
    /// All up to here has been looked at.
    cursor: i64,
    /// The last look ended before the table did.
    more: bool,
    /// The latest row of the audit table, once it is known.
    audited: Option<Option<i64>>,
    /// The file that the table is in, once it is known.
    filenode: Option<Option<i64>>,
}

impl Default for Whereabouts {
    /// Below any id.
    fn default() -> Self {
        let horizon = Horizon::default();
        Self { horizon, cursor: i64::MIN, more: false, audited: None, filenode: None }
    }
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
            suspects: BTreeSet::new(),
            told: None,
        }
    }

    /// Looks from the beginning of the table next time.
    pub(crate) fn start_over(&mut self) {
        // What people did is looked at from now on: all that they did before is seen on the way.
        let Whereabouts { audited, filenode, .. } = self.place;
        self.place = Whereabouts { audited, filenode, ..Whereabouts::default() };
        self.pace.hurry();
        self.suspects.clear();
    }

    /// Forgets what was known in a session that is gone.
    pub(crate) fn forget(&mut self) {
        self.place = Whereabouts::default();
        self.start_over();
    }

    /// Up to which id all events have been looked at.
    pub(crate) fn passed(&self) -> i64 {
        self.place.cursor.min(self.place.horizon.passed())
    }

    /// The sweep has found `places`. What nobody waits for may have been published meanwhile, or is found by the next look anyway: after
    /// that the relay makes sure.
    pub(crate) fn suspect(&mut self, places: &[Place], lanes: LaneSet, queue: &Queue) {
        if self.suspects.is_empty() {
            let suspects = places.iter().filter(|place| self.is_overlooked(place, lanes, queue));
            self.suspects = suspects.map(|place| place.id).collect();
        }
    }

    fn is_overlooked(&self, place: &Place, lanes: LaneSet, queue: &Queue) -> bool {
        place.id <= self.passed() && lanes.has(lane(place.key)) && !queue.covers(place)
    }

    /// Looks wherever it is time to, and adds to `queue` what belongs to `lanes`.
    pub(crate) async fn look(
        &mut self,
        database: &Database,
        lanes: LaneSet,
        queue: &mut Queue,
    ) -> Result<Looked, DatabaseError> {
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
        if !self.has_room(queue) || !is_due && !self.is_time() {
            return Ok(Looked::Something);
        }
        let looked = self.ahead(database, lanes, queue).await?;
        self.make_sure(database, lanes, queue).await?;
        Ok(match looked {
            Looked::Nothing if !is_due || self.place.more => Looked::Something,
            looked => looked,
        })
    }

    fn has_room(&self, queue: &Queue) -> bool {
        queue.ready() < self.enough && !queue.is_full()
    }

    fn is_time(&self) -> bool {
        self.pace.is_time() || !self.suspects.is_empty()
    }

    /// When there will be something to look at.
    pub(crate) fn next(&self, queue: &Queue) -> Instant {
        if !self.has_room(queue) {
            return self.due;
        }
        if self.is_time() { Instant::now() } else { self.due.min(self.pace.next()) }
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
    ) -> Result<Looked, DatabaseError> {
        let place = &self.place;
        let may_list = place.more || self.listed.elapsed() >= LIST_EVERY;
        let above = self.passed();
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
        let is_replaced = self.place.filenode.is_some_and(|known| known != seen.filenode);
        self.place.filenode = Some(seen.filenode);
        if is_replaced {
            tracing::info!("the outbox was emptied or rewritten: looking through the whole table");
            // Emptied, perhaps, and its ids given out anew. What is in flight ends as it ends.
            queue.keep(LaneSet::default());
            queue.resume(lanes);
            self.start_over();
            return Ok(Looked::Replaced);
        }
        if self.place.audited.is_some_and(|audited| audited != seen.audited) {
            // What a person retried or discarded may have held back others.
            self.place.audited = Some(seen.audited);
            self.start_over();
            return Ok(Looked::Something);
        }
        self.place.audited = Some(seen.audited);
        self.looked(writers, &seen);
        let mut found = false;
        for place in seen.places {
            found |= queue.see(place);
        }
        self.pace.looked(found, self.place.more);
        Ok(if found { Looked::Something } else { Looked::Nothing })
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
            // Nor any further than was looked: one id that is far above all that come next must not pass them.
            place.horizon.looked(writers, place.cursor);
        }
    }

    /// Looks whether something was overlooked: an event that is pending though nobody waits for it.
    async fn make_sure(
        &mut self,
        database: &Database,
        lanes: LaneSet,
        queue: &Queue,
    ) -> Result<(), DatabaseError> {
        let suspects = std::mem::take(&mut self.suspects);
        let Some(first) = suspects.first() else {
            return Ok(());
        };
        let above = first.saturating_sub(1);
        let seen = queries::look_ahead(database, above, &[], lanes, SLICE, self.holding).await?;
        measure::looked(seen.rows);
        // What has appeared since they were found is found in its turn.
        let mut overlooked = seen.places.iter().filter(|place| {
            suspects.contains(&place.id) && self.is_overlooked(place, lanes, queue)
        });
        let Some(lowest) = overlooked.next() else {
            return Ok(());
        };
        let (events, below) = (1 + overlooked.count(), lowest.id.saturating_sub(1));
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::info!(
                events,
                "found pending events below those looked at: looking again from there"
            );
        }
        // What is below has been swept: the way from the beginning may be long.
        self.place.cursor = self.place.cursor.min(below);
        self.place.horizon.go_back(below);
        self.pace.hurry();
        Ok(())
    }
}
