//! Wakes the thread that waits for responses with microsecond precision; `epoll` only has
//! milliseconds.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// <https://man7.org/linux/man-pages/man2/timerfd_create.2.html>
#[derive(Debug)]
pub(super) struct Timer(TimerFd);

impl Timer {
    /// Creates a timer, registered in `registry` with `token`.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let descriptor = timer.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Sets the time after which to wake, replacing the previous one.
    pub(super) fn set(&self, after: Duration) -> io::Result<()> {
        // Zero would disarm the timer.
        let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
        Ok(self.0.set(Expiration::OneShot(after), TimerSetTimeFlags::empty())?)
    }
}
