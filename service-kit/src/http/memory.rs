//! How much memory large answers may take until their clients have read them.

use std::sync::Arc;

use poem::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory that all large answers may take together, in KiB.
const LIMIT: usize = 32 * 1024;

/// An answer of so many bytes or fewer is not counted: [`HTTP_MAX_CONNECTIONS`](super::ServeArgs) bounds those.
const SMALL: usize = 16 * 1024;

/// The memory that a body takes, in bytes; travels with the response if that is large.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodySize(pub(super) usize);

impl BodySize {
    /// Notes it in `response`, unless it is small.
    pub(super) fn note(self, response: &mut Response) {
        if self.0 > SMALL {
            response.set_data(self);
        }
    }
}

/// The share of the memory that one answer has.
#[derive(Debug, Clone)]
pub(super) struct Held(#[expect(dead_code, reason = "held")] Arc<OwnedSemaphorePermit>);

/// What large answers have together.
#[derive(Debug)]
pub(super) struct AnswerMemory(Arc<Semaphore>);

impl Default for AnswerMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LIMIT)))
    }
}

impl AnswerMemory {
    /// Adds to a large answer its share of the memory. Returns false if there is not enough left.
    pub(super) fn hold(&self, response: &mut Response) -> bool {
        let Some(&BodySize(bytes)) = response.data() else {
            return true;
        };
        let share = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        match Arc::clone(&self.0).try_acquire_many_owned(share) {
            Ok(permit) => {
                response.set_data(Held(Arc::new(permit)));
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Response {
        let mut response = Response::default();
        BodySize(bytes).note(&mut response);
        response
    }

    #[test]
    fn large_answers_share_the_memory_and_small_ones_take_none() {
        let memory = AnswerMemory::default();
        let mut held: Vec<Response> = (0..16).map(|_| answer(2 * 1024 * 1024)).collect();
        assert!(held.iter_mut().all(|response| memory.hold(response)));
        assert!(!memory.hold(&mut answer(SMALL + 1)));
        assert!(memory.hold(&mut answer(SMALL)) && memory.hold(&mut Response::default()));
        held.pop();
        assert!(memory.hold(&mut answer(2 * 1024 * 1024)));
    }
}
