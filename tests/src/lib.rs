//! Set-up that the suites in `tests/` share.

pub mod outbox;
pub mod counting;
pub mod pipeline;
