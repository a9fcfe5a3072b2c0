//! Limits the memory of large responses that their clients have not read yet.

use std::sync::Arc;

use poem::Response;
use tokio::sync::Semaphore;

use crate::listener::MemoryPermit;

/// The memory that all large responses may take together, in KiB.
const MAX_MEMORY: usize = 32 * 1024;

/// Responses up to this size, in bytes, are not counted: [`HTTP_MAX_CONNECTIONS`](super::ServeArgs)
/// bounds them.
const UNCOUNTED_SIZE: usize = 16 * 1024;

/// The size of a body in memory, in bytes. Travels with the response if it is large.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodySize(pub(super) usize);

impl BodySize {
    /// Attaches the size to `response`, unless it is small.
    pub(super) fn attach(self, response: &mut Response) {
        if self.0 > UNCOUNTED_SIZE {
            response.set_data(self);
        }
    }
}

/// The memory shared by all large responses.
#[derive(Debug)]
pub(super) struct ResponseMemory(Arc<Semaphore>);

impl Default for ResponseMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_MEMORY)))
    }
}

impl ResponseMemory {
    /// Reserves memory for a large response. Returns false if there is not enough left.
    pub(super) fn reserve(&self, response: &mut Response) -> bool {
        let Some(&BodySize(bytes)) = response.data() else {
            return true;
        };
        let share = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        match Arc::clone(&self.0).try_acquire_many_owned(share) {
            Ok(permit) => {
                response.set_data(MemoryPermit(Arc::new(permit)));
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(bytes: usize) -> Response {
        let mut response = Response::default();
        BodySize(bytes).attach(&mut response);
        response
    }

    #[test]
    fn large_answers_share_the_memory_and_small_ones_take_none() {
        let memory = ResponseMemory::default();
        let mut held: Vec<Response> = (0..16).map(|_| response(2 * 1024 * 1024)).collect();
        assert!(held.iter_mut().all(|response| memory.reserve(response)));
        assert!(!memory.reserve(&mut response(UNCOUNTED_SIZE + 1)));
        assert!(
            memory.reserve(&mut response(UNCOUNTED_SIZE))
                && memory.reserve(&mut Response::default())
        );
        held.pop();
        assert!(memory.reserve(&mut response(2 * 1024 * 1024)));
    }
}
