//! The answers to the relays' statements.

use super::due::DueKind;
use super::*;

/// As the expression of that name in SQL.
fn pause_kind(pauses: &PauseSet, row: &Row) -> u8 {
    let event = event(event_ref(0, row), row);
    let matching = pauses.iter().filter(|pause| pause.matches(&event));
    matching.map(|pause| if pause.event_type.is_none() { 2 } else { 1 }).max().unwrap_or(0)
}

/// Statements of the relays.
impl Table {
    fn holds_back(row: &Row, policy: BlockingPolicy) -> bool {
        let holds = match row.next_attempt {
            _ if row.attempts == 0 => false,
            NextAttempt::Null => false,
            NextAttempt::At(_) => true,
            NextAttempt::Infinity => policy.stuck_holds,
        };
        policy.ordered && holds && row.is_visible_and_pending()
    }

    /// The lowest id behind which the rows of each aggregate are held back.
    fn held(&self, policy: BlockingPolicy) -> HashMap<i64, i64> {
        let mut held = HashMap::new();
        for (id, row) in &self.rows {
            if Self::holds_back(row, policy) {
                held.entry(row.key).or_insert(*id);
            }
        }
        held
    }

    pub(in super::super) fn scan(
        &self,
        scan: &Scan,
        lanes: LaneSet,
        policy: BlockingPolicy,
        pauses: &PauseSet,
        now: Instant,
    ) -> Rows {
        match scan {
            Scan::Successors { keys, ids } => {
                Rows::Successors(self.successors(keys, ids, policy, pauses, now))
            }
            Scan::Due { failed, scheduled, scheduled_up_to, rows } => {
                let held = self.held(policy);
                let pages = |kind, cursor| {
                    let most = usize::try_from(*rows).unwrap_or(usize::MAX);
                    let is_wanted = |id: i64, row: &Row| {
                        lanes.has(lane(row.key))
                            && (kind == DueKind::Failed || id <= *scheduled_up_to)
                            && pause_kind(pauses, row) == 0
                            && held.get(&row.key).is_none_or(|held| *held >= id)
                    };
                    self.due_pages(kind, cursor, most, now, is_wanted)
                };
                Rows::Due(DueEvents {
                    failed: pages(DueKind::Failed, failed),
                    scheduled: pages(DueKind::Scheduled, scheduled),
                })
            }
            Scan::New { above, open, lists_writers, rows } => {
                let writers = lists_writers.then(|| self.writers());
                Rows::Scanned(
                    writers,
                    self.scan_new(*above, open, *rows, (lanes, policy), pauses, Some(now)),
                )
            }
            Scan::Suspects { above, rows, .. } => Rows::Scanned(
                None,
                self.scan_new(*above, &[], *rows, (lanes, policy), pauses, None),
            ),
        }
    }

    fn successors(
        &self,
        keys: &[i64],
        ids: &[i64],
        policy: BlockingPolicy,
        pauses: &PauseSet,
        now: Instant,
    ) -> Successors {
        let held = self.held(policy);
        let mut found = Successors::default();
        for (&key, &id) in keys.iter().zip(ids) {
            let end = held.get(&key).copied().unwrap_or(i64::MAX);
            let behind = self.rows.range(id.saturating_add(1)..).filter(|(id, row)| {
                row.key == key && row.is_visible_and_pending() && row.is_new(now) && **id < end
            });
            let is_left_out = |row: &Row| row.is_scheduled() && pause_kind(pauses, row) > 0;
            let behind = behind.filter(|(_, row)| !is_left_out(row));
            for (id, row) in behind.take(Queue::REFILL) {
                let is_paused = pause_kind(pauses, row) > 0;
                let events = if is_paused { &mut found.paused } else { &mut found.event_refs };
                events.push(event_ref(*id, row));
            }
        }
        found
    }

    fn scan_new(
        &self,
        above: i64,
        open: &[OpenTransaction],
        most: i64,
        (lanes, policy): (LaneSet, BlockingPolicy),
        pauses: &PauseSet,
        // Without it, scheduled events are left out.
        now: Option<Instant>,
    ) -> ScannedRows {
        let above = open
            .iter()
            .filter(|open| self.has_ended(&open.writer))
            .map(|open| open.above)
            .fold(above, i64::min);
        let held = self.held(policy);
        let mut scanned = ScannedRows {
            event_refs: Vec::new(),
            paused: Vec::new(),
            rows: 0,
            reached: None,
            audited: Some(self.audit),
            filenode: Some(self.filenode),
        };
        let from = if above == i64::MIN { above } else { above + 1 };
        let pending = self.rows.range(from..).filter(|(_, row)| row.is_visible_and_pending());
        for (id, row) in pending.take(usize::try_from(most).unwrap_or(usize::MAX)) {
            scanned.rows += 1;
            scanned.reached = Some(*id);
            let is_free = held.get(&row.key).is_none_or(|held| id <= held);
            let is_new = row.next_attempt == NextAttempt::Null
                || now.is_some_and(|now| row.is_scheduled_and_due(now));
            if is_new && lanes.has(lane(row.key)) && is_free {
                match pause_kind(pauses, row) {
                    0 => scanned.event_refs.push(event_ref(*id, row)),
                    1 if policy.ordered && !row.is_scheduled() => {
                        scanned.paused.push(event_ref(*id, row));
                    }
                    _ => (),
                }
            }
        }
        scanned
    }

    /// Whether the transaction may have committed, as the statement sees it.
    fn has_ended(&self, writer: &Writer) -> bool {
        let open = writer.virtual_id.parse().ok().and_then(|id: u64| self.open.get(&id));
        match writer.xid {
            Some(_) => open.is_none(),
            None => open.is_none_or(|open| open.xid.is_some()),
        }
    }

    fn writers(&self) -> Writers {
        let visible = self.rows.iter().filter(|(_, row)| row.is_committed());
        Writers {
            highest: visible.map(|(id, _)| *id).max().unwrap_or(i64::MIN),
            open: self
                .open
                .iter()
                .map(|(id, open)| Writer { virtual_id: id.to_string(), xid: open.xid })
                .collect(),
        }
    }

    /// All pending rows up to `end`, as the sweep reports them.
    pub(in super::super) fn sweep(
        &self,
        end: i64,
        lanes: LaneSet,
        policy: BlockingPolicy,
        pauses: &PauseSet,
    ) -> Vec<EventRef> {
        let all = self.scan_new(i64::MIN, &[], i64::MAX, (lanes, policy), pauses, None);
        all.event_refs.into_iter().filter(|event_ref| event_ref.id <= end).collect()
    }

    pub(in super::super) fn load(&self, event_refs: &[EventRef], now: Instant) -> Loaded {
        let mut loaded = Loaded::default();
        for event_ref in event_refs {
            let row = self.rows.get(&event_ref.id).filter(|row| {
                row.is_visible_and_pending() && (!row.is_scheduled() || row.is_new(now))
            });
            match row {
                Some(row) => {
                    loaded.events.push(event(*event_ref, row));
                }
                None => loaded.gone.push(*event_ref),
            }
        }
        loaded
    }

    /// Notes the outcome in the row; `None` when that is done.
    pub(in super::super) fn settle(
        &mut self,
        item: &SettleItem,
        now: Instant,
    ) -> Option<NotSettled> {
        let row = self.rows.get_mut(&item.event_ref.id);
        let Some(row) = row.filter(|row| {
            row.is_pending && row.event_id == item.event_id && row.attempts == item.attempts
        }) else {
            return Some(NotSettled::Gone);
        };
        if self.locked.contains(&item.event_ref.id) {
            return Some(NotSettled::Locked);
        }
        match &item.failure {
            None => {
                row.is_pending = false;
                row.next_attempt = NextAttempt::Null;
            }
            Some(failure) => {
                row.attempts += 1;
                row.last_error.clone_from(&failure.reason);
                row.next_attempt = match failure.retry_in {
                    // Not that time, which is random.
                    Some(_) => NextAttempt::At(now + Duration::from_secs(1)),
                    None => NextAttempt::Infinity,
                };
            }
        }
        None
    }

    /// The event is stuck, whether or not its row says so yet.
    pub(in super::super) fn gave_up(&mut self, item: &SettleItem) {
        if let Some(row) = self.rows.get_mut(&item.event_ref.id)
            && row.event_id == item.event_id
        {
            row.was_stuck = true;
        }
    }

    pub(in super::super) fn note(&mut self, event_id: Uuid, id: i64) {
        self.noted.insert(event_id, id);
    }

    pub(in super::super) fn forget_note(&mut self, event_id: Uuid) {
        self.noted.remove(&event_id);
    }

    pub(in super::super) fn is_noted(&self, event_id: Uuid) -> bool {
        self.noted.contains_key(&event_id)
    }

    /// The rows of `outbox_unsettled` about events of `lanes`.
    pub(in super::super) fn load_noted(&self, lanes: LaneSet) -> Vec<UnsettledEvent> {
        let noted = self.noted.iter().filter_map(|(event_id, id)| {
            let row =
                self.rows.get(id).filter(|row| row.is_pending && row.event_id == *event_id)?;
            let (event_id, attempts) = (*event_id, row.attempts);
            let item =
                SettleItem { event_ref: event_ref(*id, row), event_id, attempts, failure: None };
            let unsettled =
                UnsettledEvent { is_noted: true, ..UnsettledEvent::new(item, SettleError::Locked) };
            lanes.has(lane(row.key)).then_some(unsettled)
        });
        noted.collect()
    }
}
