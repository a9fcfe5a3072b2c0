//! Concurrent connections, all driven by one thread, which costs a shared machine less than a
//! thread each.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::load_result::LoadResult;
use super::request::Requests;
use super::timer::Timer;

/// A response that takes longer is not coming.
const TIMEOUT: Duration = Duration::from_secs(30);

/// When the load client sends its next request on a connection.
pub(super) enum Next {
    /// The next request, whose latency is measured from `since`.
    Now { since: Instant },
    /// Nothing until this time.
    At(Instant),
    /// Nothing more.
    Never,
}

/// A successful request.
#[derive(Debug)]
pub(super) struct Success {
    pub(super) number: usize,
    pub(super) since: Instant,
    /// When its response was complete.
    pub(super) now: Instant,
}

/// Connections to one service.
#[derive(Debug)]
pub(super) struct Connections {
    address: SocketAddr,
    poll: Poll,
    timer: Timer,
    slots: Vec<Slot>,
    /// The slots without a request in flight, the longest idle one first.
    idle: VecDeque<usize>,
}

#[derive(Debug)]
struct Slot {
    connection: Connection,
    /// The request in flight: its number, and when its latency began.
    awaited: Option<(usize, Instant)>,
}

impl Connections {
    /// Opens this many connections.
    pub(super) fn open(address: SocketAddr, number: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), Token(number))?;
        let open = |slot| {
            let connection = Connection::open(address, poll.registry(), Token(slot))?;
            Ok(Slot { connection, awaited: None })
        };
        let slots: io::Result<Vec<Slot>> = (0..number).map(open).collect();
        let slots = slots.context("cannot connect to the service")?;
        Ok(Self { address, poll, timer, slots, idle: (0..number).collect() })
    }

    /// Sends requests until `next`, called whenever a connection is idle, returns `Never` and all
    /// are answered. Calls `succeeded` for each success; failures go into `tally`.
    pub(super) fn run(
        mut self,
        requests: &Requests,
        tally: &mut LoadResult,
        mut next: impl FnMut(Instant) -> Next,
        mut succeeded: impl FnMut(&mut LoadResult, Success) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut number, mut request, mut never) = (0, Vec::new(), false);
        let mut events = Events::with_capacity(self.slots.len() + 1);
        loop {
            let mut until = None;
            while !never && let Some(&slot) = self.idle.front() {
                match next(Instant::now()) {
                    Next::Now { since } => {
                        self.idle.pop_front();
                        requests.write(number, &mut request)?;
                        self.slots[slot].awaited = Some((number, since));
                        number += 1;
                        if let Err(error) = self.slots[slot].connection.send(&request) {
                            self.replace(slot, tally, &error)?;
                        }
                    }
                    Next::At(time) => {
                        until = Some(time);
                        break;
                    }
                    Next::Never => never = true,
                }
            }
            if never && self.idle.len() == self.slots.len() {
                return Ok(());
            }
            self.wait(&mut events, until)?;
            for event in &events {
                let Token(slot) = event.token();
                if slot == self.slots.len() {
                    continue;
                }
                if let Some(success) = self.receive(slot, requests, tally)? {
                    succeeded(tally, success)?;
                }
            }
        }
    }

    /// Reads what has arrived on one connection, which is idle again once the response is complete.
    fn receive(
        &mut self,
        slot: usize,
        requests: &Requests,
        tally: &mut LoadResult,
    ) -> anyhow::Result<Option<Success>> {
        let status = match self.slots[slot].connection.receive() {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(None),
            Err(error) => return self.replace(slot, tally, &error).map(|()| None),
        };
        let now = Instant::now();
        let Some((number, since)) = self.slots[slot].awaited.take() else {
            return Ok(None);
        };
        self.idle.push_back(slot);
        if status == requests.success() {
            return Ok(Some(Success { number, since, now }));
        }
        tally.error(&status.to_string());
        Ok(None)
    }

    /// Waits for a response, or until that time.
    fn wait(&mut self, events: &mut Events, until: Option<Instant>) -> anyhow::Result<()> {
        if let Some(until) = until {
            self.timer.set(until.saturating_duration_since(Instant::now()))?;
        }
        match self.poll.poll(events, Some(TIMEOUT)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            polled => {
                polled?;
                ensure!(!events.is_empty(), "no answer came in {} s", TIMEOUT.as_secs());
            }
        }
        Ok(())
    }

    /// Opens another connection in place of one that failed.
    fn replace(
        &mut self,
        slot: usize,
        tally: &mut LoadResult,
        error: &io::Error,
    ) -> anyhow::Result<()> {
        let connection = Connection::open(self.address, self.poll.registry(), Token(slot))
            .with_context(|| format!("cannot connect again after a connection failed: {error}"))?;
        let failed = std::mem::replace(&mut self.slots[slot], Slot { connection, awaited: None });
        // The server may close an idle connection.
        if failed.awaited.is_some() {
            self.idle.push_back(slot);
            tally.error(&format!("connection: {error}"));
        }
        Ok(())
    }
}
