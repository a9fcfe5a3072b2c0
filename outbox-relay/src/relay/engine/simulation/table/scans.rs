//! The answers to the relays' statements.

use super::*;

/// Statements of the relays.
impl Table {
    fn holds_back(row: &Row, policy: BlockingPolicy) -> bool {
        let holds = match row.next_attempt {
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
        now: Instant,
    ) -> Rows {
        match scan {
            Scan::Successors { keys, ids } => Rows::Events(self.successors(keys, ids, policy)),
            Scan::DueRetries => Rows::Events(self.due_retries(lanes, policy, now)),
            Scan::New { above, open, lists_writers, rows } => {
                let writers = lists_writers.then(|| self.writers());
                Rows::Slice(writers, self.scan_new(*above, open, lanes, *rows, policy))
            }
            Scan::Suspects { above, rows, .. } => {
                Rows::Slice(None, self.scan_new(*above, &[], lanes, *rows, policy))
            }
        }
    }

    fn successors(&self, keys: &[i64], ids: &[i64], policy: BlockingPolicy) -> Vec<EventRef> {
        let held = self.held(policy);
        let mut found = Vec::new();
        for (&key, &id) in keys.iter().zip(ids) {
            let end = held.get(&key).copied().unwrap_or(i64::MAX);
            let behind = self.rows.range(id.saturating_add(1)..).filter(|(id, row)| {
                row.key == key
                    && row.is_visible_and_pending()
                    && row.next_attempt == NextAttempt::Null
                    && **id < end
            });
            found.extend(behind.take(Queue::REFILL).map(|(id, row)| event_ref(*id, row)));
        }
        found
    }

    fn due_retries(&self, lanes: LaneSet, policy: BlockingPolicy, now: Instant) -> Vec<EventRef> {
        let held = self.held(policy);
        let mut due: Vec<(Instant, EventRef)> = Vec::new();
        for (id, row) in &self.rows {
            if let NextAttempt::At(at) = row.next_attempt
                && row.is_visible_and_pending()
                && at <= now
                && lanes.has(lane(row.key))
                && held.get(&row.key).is_none_or(|held| held >= id)
            {
                due.push((at, event_ref(*id, row)));
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, event_ref)| event_ref).collect()
    }

    fn scan_new(
        &self,
        above: i64,
        open: &[OpenTransaction],
        lanes: LaneSet,
        most: i64,
        policy: BlockingPolicy,
    ) -> ScannedRows {
        let above = open
            .iter()
            .filter(|open| self.has_ended(&open.writer))
            .map(|open| open.above)
            .fold(above, i64::min);
        let held = self.held(policy);
        let mut seen = ScannedRows {
            event_refs: Vec::new(),
            rows: 0,
            reached: None,
            audited: Some(self.audit),
            filenode: Some(self.filenode),
        };
        let from = if above == i64::MIN { above } else { above + 1 };
        let pending = self.rows.range(from..).filter(|(_, row)| row.is_visible_and_pending());
        for (id, row) in pending.take(usize::try_from(most).unwrap_or(usize::MAX)) {
            seen.rows += 1;
            seen.reached = Some(*id);
            let is_free = held.get(&row.key).is_none_or(|held| id <= held);
            if row.next_attempt == NextAttempt::Null && lanes.has(lane(row.key)) && is_free {
                seen.event_refs.push(event_ref(*id, row));
            }
        }
        seen
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
    ) -> Vec<EventRef> {
        let all = self.scan_new(i64::MIN, &[], lanes, i64::MAX, policy);
        all.event_refs.into_iter().filter(|event_ref| event_ref.id <= end).collect()
    }

    pub(in super::super) fn load(&self, event_refs: &[EventRef]) -> Loaded {
        let mut loaded = Loaded::default();
        for event_ref in event_refs {
            match self.rows.get(&event_ref.id).filter(|row| row.is_visible_and_pending()) {
                Some(row) => {
                    let contents =
                        Event::unreadable(*event_ref, row.event_id, row.attempts, String::new());
                    let refusals = RefusalHistory::read(&row.last_error);
                    let event_ref = EventRef { size: 1, ..*event_ref };
                    loaded.events.push(Event { event_ref, refusals, unfit: None, ..contents });
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
